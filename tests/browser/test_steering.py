"""What an operator does and sees, in a real browser on a real web process and manager."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.window import Window
from tests.crash.harness import Site

HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>"
    "\"'><svg/onload=alert(3)>javascript:alert(4)"
)


def test_a_sum_is_submitted_in_the_form_and_its_result_arrives(site: Site, window: Window) -> None:
    site.manager()
    window.go("submit?type=add")
    window.page.get_by_label("num1").fill("12345678901234567890.1")
    window.page.get_by_label("num2").fill("oops")
    window.page.get_by_role("button", name="Submit order").click()
    expect(window.page.get_by_text("This is not a number")).to_be_visible()
    window.page.get_by_label("num2").fill("0.2")
    window.page.get_by_role("button", name="Submit order").click()
    expect(window.page.get_by_test_id("sum")).to_have_text("12345678901234567890.3")
    assert window.breaches() == []


def test_a_failing_order_shows_its_attempts_and_is_retried(site: Site, window: Window) -> None:
    site.manager()
    failed = window.submit("fail", {"message": "no luck", "after": 0}, maxAttempts=2)
    window.go(f"orders/{failed}")
    expect(window.page.get_by_test_id("status")).to_contain_text("failed")
    expect(_attempts(window)).to_have_count(2)
    expect(window.page.get_by_test_id("error")).to_contain_text("no luck")
    window.page.get_by_role("button", name="Retry").click()
    expect(_attempts(window)).to_have_count(4)


def test_an_order_runs_again_with_another_payload_as_one_of_its_own(
    site: Site, window: Window
) -> None:
    site.manager()
    first = window.submit("add", {"num1": 1, "num2": 2})
    window.go(f"orders/{first}")
    window.page.get_by_role("link", name="Run again").click()
    window.page.get_by_label("num2").fill("40")
    window.page.get_by_role("button", name="Submit order").click()
    expect(window.page.get_by_test_id("sum")).to_have_text("41")
    (second, _) = window.ask("GET", "/api/v1/jobs")["items"]
    assert second["copyOf"] == first
    assert window.ask("GET", f"/api/v1/jobs/{first}")["payload"] == {"num1": 1, "num2": 2}


def test_a_running_order_is_cancelled_from_the_list(site: Site, window: Window) -> None:
    site.manager()
    job = window.submit("sleep", {"seconds": 600})
    window.go("orders")
    row = window.page.get_by_test_id("orders").locator("tbody tr").first
    expect(row).to_contain_text("running")
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("cancelled")
    assert site.order(job).status == "cancelled"


def test_those_that_were_chosen_are_retried(site: Site, window: Window) -> None:
    jobs = [window.submit("add", {"num1": n, "num2": 1}) for n in range(3)]
    for job in jobs:
        window.ask("POST", f"/api/v1/jobs/{job}/cancel")
    window.go("orders?status=cancelled")
    expect(window.page.get_by_test_id("orders").locator("tbody tr")).to_have_count(3)
    window.page.get_by_label("Select all on this page").check()
    window.page.get_by_test_id("bar").get_by_role("button", name="Retry").click()
    window.page.get_by_role("dialog").get_by_role("button", name="Retry 3").click()
    expect(window.page.get_by_test_id("bulk")).to_have_text("3 of 3 done")
    site.manager()
    site.ends(*jobs)
    assert {site.order(job).status for job in jobs} == {"completed"}


def test_a_killed_manager_is_seen_and_the_state_says_recovering(site: Site, window: Window) -> None:
    (manager,) = site.managers(1, stale_seconds=2)
    window.submit("sleep", {"seconds": 600})
    window.go()
    workers = window.page.get_by_test_id("workers")
    expect(workers).to_contain_text("busy")
    manager.kill()
    site.manager(stale_seconds=2)
    expect(window.page.get_by_test_id("system")).to_have_text("Recovering", timeout=20_000)
    expect(workers).to_contain_text("lost", timeout=20_000)


def test_hostile_markup_is_shown_as_text(site: Site, window: Window) -> None:
    site.manager()
    job = window.submit("fail", {"message": HOSTILE, "fatal": True}, tags=[HOSTILE[:100]])
    site.ends(job)
    for place in ("", "orders", f"orders/{job}", f"submit?from={job}", "events"):
        window.go(place)
        expect(window.page.locator(".skeleton")).to_have_count(0)
        assert window.page.locator("main img, main script, main svg[onload]").count() == 0, place
        assert window.breaches() == [], place
    window.go(f"orders/{job}")
    expect(window.page.get_by_test_id("error")).to_contain_text("onerror=alert(1)")


def test_keys_the_language_and_a_pause(window: Window) -> None:
    window.go()
    window.page.keyboard.press("?")
    expect(window.page.get_by_role("dialog")).to_be_visible()
    window.page.keyboard.press("Escape")
    expect(window.page.get_by_role("dialog")).to_have_count(0)
    window.page.keyboard.press("g")
    window.page.keyboard.press("w")
    expect(window.page.locator("main h1")).to_have_text("Workers")
    window.page.keyboard.press("p")
    expect(window.page.locator(".pulse")).to_have_text("Paused")
    window.page.get_by_role("button", name="Settings").click()
    window.page.get_by_text("Español").click()
    expect(window.page.locator("main h1")).to_have_text("Trabajadores")


def test_a_server_that_is_gone_is_told(site: Site, window: Window) -> None:
    window.go()
    expect(window.page.get_by_test_id("cards")).to_be_visible()
    site.processes[0].end()
    alert = window.page.locator(".stale")
    expect(alert).to_contain_text("cannot be reached", timeout=20_000)


def _attempts(window: Window) -> Locator:
    return window.page.get_by_test_id("history").locator("li")

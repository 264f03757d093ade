"""What an operator does and sees, in a real browser on a real web process and manager."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.conftest import on_both
from tests.browser.window import Window
from tests.crash.harness import Site


@on_both
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


@on_both
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


@on_both
def test_a_running_order_is_cancelled_from_the_list(site: Site, window: Window) -> None:
    site.manager()
    job = window.submit("sleep", {"seconds": 600})
    window.go("orders")
    row = window.page.get_by_test_id("orders").locator("tbody tr").first
    expect(row).to_contain_text("running")
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("cancelled")
    assert site.order(job).status == "cancelled"


@on_both
def test_a_killed_manager_is_seen_and_the_state_says_recovering(site: Site, window: Window) -> None:
    (manager,) = site.managers(1, stale_seconds=2)
    window.submit("sleep", {"seconds": 600})
    window.go()
    workers = window.page.get_by_test_id("workers")
    expect(workers).to_contain_text("busy")
    manager.kill()
    site.manager(stale_seconds=2)
    expect(window.page.get_by_test_id("system")).to_have_text("Recovering")
    expect(workers).to_contain_text("lost")


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


def test_charts_that_cannot_be_had_leave_the_rest_as_it_is(site: Site, window: Window) -> None:
    window.page.route("**/assets/overview-*.js", lambda route: route.abort())
    window.go()
    expect(window.page.locator("main [role=alert]")).to_contain_text("could not be loaded")
    expect(window.page.get_by_test_id("cards")).to_be_visible()
    job = window.submit("add", {"num1": 1, "num2": 2})
    expect(window.page.get_by_test_id("newest")).to_contain_text(job[-8:])
    # React tells the console of it, once.
    assert [one for one in window.complaints if "overview-" not in one] == []
    window.complaints.clear()


def test_a_server_that_is_gone_is_told(site: Site, window: Window) -> None:
    window.go()
    expect(window.page.get_by_test_id("cards")).to_be_visible()
    window.settled()
    site.processes[0].end()
    alert = window.page.locator(".stale")
    expect(alert).to_contain_text("cannot be reached")


def _attempts(window: Window) -> Locator:
    return window.page.get_by_test_id("history").locator("li")

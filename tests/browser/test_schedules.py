"""Schedules and queues, made and steered in the page."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.window import Window
from tests.crash.harness import Site


def test_a_schedule_is_made_changed_run_paused_and_deleted(site: Site, window: Window) -> None:
    site.manager()
    page = window.page
    window.go("schedules")
    page.get_by_role("link", name="New schedule").first.click()
    page.get_by_label("Name").fill("nightly")
    page.get_by_label("When").fill("30 2 * *")
    page.get_by_label("Time zone").fill("Europe/Madrid")
    page.get_by_label("num1").fill("1")
    page.get_by_label("num2").fill("12345678901234567890.1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("expression: ")
    page.get_by_label("When").fill("30 2 * * MON-FRI")
    page.get_by_text("Options").click()
    page.get_by_label("Tags").fill("night, sums")
    page.get_by_label("Longest silence").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("saved")).to_contain_text("Saved")

    window.go("schedules")
    row = page.get_by_test_id("schedules").locator("tbody tr")
    row.get_by_role("button", name="Run now").click()
    (order,) = window.await_orders(1)
    assert (order["schedule"], order["result"]) == ("nightly", 12345678901234567891.1)
    row.get_by_role("switch").click()
    expect(row.get_by_role("switch")).not_to_be_checked()
    before = window.ask("GET", "/api/v1/schedules/nightly")
    assert (before["enabled"], before["tags"], before["maxSilence"]) == (
        False,
        ["night", "sums"],
        5,
    )

    row.get_by_role("link", name="nightly").click()
    page.get_by_label("num1").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_test_id("saved")).to_contain_text("Saved")
    after = window.ask("GET", "/api/v1/schedules/nightly")
    assert after["payload"]["num1"] == 2
    same = before.keys() - {"payload", "changedOn"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Really delete it").click()
    expect(page.get_by_text("No schedules yet")).to_be_visible()


def test_a_queue_is_paused_and_goes_on(site: Site, window: Window) -> None:
    site.manager()
    (first,) = [window.submit("add", {"num1": 1, "num2": 1}, queue="naps")]
    site.ends(first)
    window.go("queues")
    row = window.page.get_by_test_id("queues").get_by_role("row", name="naps")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    job = window.submit("add", {"num1": 1, "num2": 1}, queue="naps")
    expect(row.get_by_role("cell").nth(2)).to_have_text("1")
    window.go(f"orders/{job}")
    expect(window.page.get_by_text("paused", exact=False).first).to_be_visible()
    window.go("queues")
    row.get_by_role("button", name="Resume").click()
    site.ends(job)
    expect(row).to_contain_text("open")

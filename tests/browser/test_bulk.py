"""Lists longer than a page, and what is done to many orders at once."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import on_both
from tests.browser.window import Window
from tests.crash.harness import Site


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


@on_both
def test_all_that_match_are_counted_first_and_then_moved(site: Site, window: Window) -> None:
    """More than a page shows, and others that must be left alone."""
    chosen = [window.submit("add", {"num1": n, "num2": 1}, tags=["late"]) for n in range(60)]
    others = [window.submit("add", {"num1": n, "num2": 1}) for n in range(3)]
    for job in [*chosen, *others]:
        window.ask("POST", f"/api/v1/jobs/{job}/cancel")
    site.manager()
    window.go("orders?status=cancelled&tag=late")
    tabs = window.page.get_by_role("navigation", name="Status")
    expect(tabs.get_by_role("link", name="cancelled")).to_have_text("cancelled60")
    window.page.get_by_test_id("bar").get_by_role("button", name="Retry").click()
    dialog = window.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Retry: 60 orders")
    dialog.get_by_role("button", name="Retry 60").click()
    expect(window.page.get_by_test_id("bulk")).to_have_text("60 of 60 done")
    dialog.get_by_role("button", name="Close").last.click()
    site.ends(*chosen)
    assert {site.order(job).status for job in chosen} == {"completed"}
    assert {site.order(job).status for job in others} == {"cancelled"}


def test_a_deletion_of_many_wants_their_number(site: Site, window: Window) -> None:
    jobs = [window.submit("add", {"num1": n, "num2": 1}) for n in range(2)]
    for job in jobs:
        window.ask("POST", f"/api/v1/jobs/{job}/cancel")
    site.manager()
    window.go("orders?status=cancelled")
    window.page.get_by_test_id("bar").get_by_role("button", name="Delete").click()
    sure = window.page.get_by_role("dialog").get_by_role("button", name="Delete 2")
    expect(sure).to_be_disabled()
    window.page.get_by_label("Type 2 to confirm").fill("2")
    sure.click()
    expect(window.page.get_by_test_id("bulk")).to_have_text("2 of 2 done")
    assert window.ask("GET", "/api/v1/jobs")["items"] == []


def test_a_list_goes_on_beyond_its_first_page(window: Window) -> None:
    bulk = [{"type": "add", "payload": {"num1": n, "num2": 1}} for n in range(120)]
    ids = window.ask("POST", "/api/v1/jobs/bulk", bulk)["jobIds"]
    window.go("orders")
    rows = window.page.get_by_test_id("orders").locator("tbody tr")
    seen: list[str] = []
    for count in (50, 50, 20):
        expect(rows).to_have_count(count)
        expect(rows.first).to_contain_text(ids[-len(seen) - 1][-8:])
        seen += [link.get_attribute("title") or "" for link in rows.locator("a").all()]
        if count == 50:
            window.page.get_by_role("button", name="Older").click()
    assert seen == ids[::-1]
    window.page.go_back()
    expect(rows.first).to_contain_text(ids[-51][-8:])

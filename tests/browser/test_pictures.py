"""Every page in both themes and at the width of a phone: free of serious faults of access, within
its policy, and no wider than the screen. With `make screenshots` they are also kept as pictures."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.window import Window
from tests.crash.harness import Site

SIZES = {"wide": (1360, 900), "phone": (390, 844)}
PAGES = ("overview", "orders", "orders/ID", "submit", "queues", "workers", "schedules", "events")


def _life(site: Site, window: Window) -> str:
    """Some orders of each kind, a schedule, and a manager at work; the id of one that failed."""
    site.manager()
    for n in range(12):
        window.submit("add", {"num1": n, "num2": 0.1}, tags=["sums"])
    failed = window.submit("fail", {"message": "no such mailbox: ana@example.org", "after": 0})
    window.submit("sleep", {"seconds": 300}, priority="high")
    window.submit("sleep", {"seconds": 1}, delay=600, queue="naps")
    plan = {"expression": "30 2 * * *", "type": "add", "payload": {"num1": 1, "num2": 2}}
    window.ask("PUT", "/api/v1/schedules/nightly", plan)
    site.ends(failed)
    return failed


def test_every_page_in_both_themes_and_at_the_width_of_a_phone(
    browser: Browser, site: Site, window: Window
) -> None:
    failed = _life(site, window)
    folder = os.environ.get("CAPATAZ_SCREENSHOTS")
    found: list[str] = []
    for theme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            window.page.emulate_media(color_scheme=theme)
            window.page.set_viewport_size({"width": width, "height": height})
            for place in PAGES:
                name = f"{place.replace('/ID', '-detail')}-{theme}-{size}"
                window.go(place.replace("ID", failed))
                expect(window.page.locator(".skeleton")).to_have_count(0)
                if folder:
                    Path(folder).mkdir(parents=True, exist_ok=True)
                    window.page.screenshot(path=f"{folder}/{name}.png", full_page=True)
                found += [f"{name}: {one}" for one in window.violations()]
                if window.page.evaluate("document.documentElement.scrollWidth") > width:
                    found.append(f"{name}: is wider than the screen")
    found += window.breaches()
    assert found == [], "\n".join(found)

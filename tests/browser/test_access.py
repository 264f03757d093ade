"""Every page in both themes and at the width of a phone: free of serious faults of access, within
its policy, and no wider than the screen."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser import life
from tests.browser.chrome import PHONE
from tests.browser.window import Window
from tests.crash.harness import Site

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


def test_every_page_in_both_themes_and_at_the_width_of_a_phone(site: Site, window: Window) -> None:
    failed = life.begin(site, window)
    places = [place.replace("ID", failed) for place in life.PAGES]
    found: list[str] = []
    for theme in THEMES:
        window.page.emulate_media(color_scheme=theme)
        for place in places:
            window.go(place)
            window.settled()
            found += [f"{place}, {theme}: {one}" for one in window.violations()]
    window.page.set_viewport_size(PHONE)
    for place in places:
        window.go(place)
        window.settled()
        found += [f"{place}, phone: {one}" for one in window.violations()]
        if window.page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
            found.append(f"{place} is wider than a phone")
    found += window.breaches()
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("theme", THEMES)
def test_what_opens_over_a_page_is_free_of_them_too(window: Window, theme: Theme) -> None:
    window.page.emulate_media(color_scheme=theme)
    window.submit("add", {"num1": 1, "num2": 2})
    window.go("orders?status=pending")
    found: list[str] = []
    for opens in ("Keyboard help", "Settings", "Cancel"):
        window.page.get_by_role("button", name=opens).first.click()
        expect(window.page.get_by_role("dialog")).to_be_visible()
        found += [f"{opens}: {one}" for one in window.violations()]
        window.page.keyboard.press("Escape")
        expect(window.page.get_by_role("dialog")).to_have_count(0)
    assert found == [], "\n".join(found)

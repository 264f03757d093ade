"""`make screenshots`: pictures of each page of a site at work, in both themes and on a phone.

Those that the README shows are written to docs/pictures, all others to the folder that is named.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, Page

import migrations
import models
from database import Database
from tests.browser import life
from tests.browser.chrome import PHONE, VIEWPORT, launched
from tests.browser.test_access import THEMES
from tests.browser.window import Window
from tests.crash.harness import Site
from tests.house.project import ROOT

# Which, under which name, and how much of it.
SHOWN = {"overview-light": ("overview.png", 900), "orders-status-failed-dark": ("orders.png", 600)}
LIVE_SECONDS = 150


def main(folder: Path, seconds: float) -> None:
    """Let a site work for so long, then look at it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite:///{place}/capataz.db"
        database = Database(url)
        migrations.migrate(database)
        database.close()
        site = Site(url, Path(place))
        models.bind(site.database.orm)
        try:
            _take(site, folder, seconds)
        finally:
            # It prints what its processes said, which is for tests that fail.
            with contextlib.redirect_stdout(io.StringIO()):
                site.close()
    print(f"pictures of {len(life.PAGES)} pages are in {folder}, the README's in docs/pictures")


def _take(site: Site, folder: Path, seconds: float) -> None:
    with launched() as browser:
        page = browser.new_context(viewport=VIEWPORT, locale="en-GB").new_page()
        window = Window(page, site.api(jobs=life.JOBS).port)
        failed = life.begin(site, window)
        life.live(window, seconds)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            for size in (VIEWPORT, PHONE):
                for place in life.PAGES:
                    name = _name(place, theme)
                    page.set_viewport_size(size)
                    window.go(place.replace("ID", failed))
                    window.settled()
                    if size == VIEWPORT and name in SHOWN:
                        _show(page, *SHOWN[name])
                    # As high as the page is, so that what keeps its place does not cover the rest.
                    high = page.evaluate("document.documentElement.scrollHeight")
                    page.set_viewport_size({"width": size["width"], "height": high})
                    suffix = "" if size == VIEWPORT else "-phone"
                    page.screenshot(path=folder / f"{name}{suffix}.png")


def _show(page: Page, file: str, height: int) -> None:
    clip: FloatRect = {"x": 0, "y": 0, "width": VIEWPORT["width"], "height": height}
    page.screenshot(path=ROOT / "docs" / "pictures" / file, clip=clip)


def _name(place: str, theme: str) -> str:
    plain = place.replace("/ID", "-one").replace("?", "-").replace("/", "-").replace("=", "-")
    return f"{plain.replace('~', '')}-{theme}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else LIVE_SECONDS)

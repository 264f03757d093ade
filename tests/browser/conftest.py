"""A real browser on a real web process and manager."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

import models
from tests.browser.window import Window
from tests.crash.harness import Site
from tests.house.project import ROOT
from tests.servers.chromium import chromium

VIEWPORT: ViewportSize = {"width": 1360, "height": 900}
BUILD = ROOT / "scripts" / "dashboard.sh"
_OFFLINE = ("--no-first-run", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, one for all tests; each has a profile of its own in it."""
    subprocess.run([BUILD, "build"], check=True)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", *_OFFLINE],
        )
        yield started
        started.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite file. That both databases answer the same is what the tests of the API
    show; the page sees only the answers."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'capataz.db')}"


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """An empty database, and processes that end with the test."""
    opened = Site(database_url, tmp_path)
    models.bind(opened.database.orm)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(autouse=True)
def browser_outlives_tests(browser: Browser) -> None:
    """Started before a test counts what it leaves behind."""


@pytest.fixture
def nothing_left_behind(browser: Browser) -> None:
    """The browser's processes come and go as it likes; those of a site end with the site."""


@pytest.fixture
def window(browser: Browser, site: Site) -> Iterator[Window]:
    """A window on the dashboard of a site with one web process; it must stay free of complaints."""
    context = browser.new_context(viewport=VIEWPORT, locale="en-GB")
    page: Page = context.new_page()
    opened = Window(page, site.api().port)
    yield opened
    context.close()
    assert opened.complaints == []

"""A real browser on a real web process and manager."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import models
from tests.browser.chrome import VIEWPORT, launched
from tests.browser.window import Window
from tests.conftest import DIALECTS, TEMPLATE
from tests.crash.harness import Site
from tests.servers.postgres import Postgres

JOBS = "tests.browser.jobs,tests.browser.life,tests.crash.jobs"
# For what the database has a part in; a page sees only the answers.
on_both = pytest.mark.parametrize("database_url", DIALECTS, indirect=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of a process; each has a profile of its own in it."""
    with launched() as started:
        yield started


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty SQLite file; or, where a test is run `on_both`, the database it names."""
    if getattr(request, "param", "sqlite") == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        yield f"sqlite:///{shutil.copy(template, tmp_path / 'capataz.db')}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.fresh_database(template=TEMPLATE) as url:
        yield url


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
    opened = Window(page, site.api(jobs=JOBS).port)
    yield opened
    context.close()
    assert opened.complaints == []

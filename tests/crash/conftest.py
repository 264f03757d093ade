"""A site for each crash test, cleared away at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
import models
from database import Database
from tests.crash.harness import Site
from tests.servers.postgres import PostgresServer


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """An empty database, and processes that end with the test."""
    opened = Site(database_url, tmp_path)
    models.bind(opened.database.orm)
    try:
        yield opened
    finally:
        opened.close()
    assert not opened.faults()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own, to be stopped and started; it keeps its promises."""
    with PostgresServer() as started:
        yield started


@pytest.fixture
def served_site(server: PostgresServer, tmp_path: Path) -> Iterator[Site]:
    """The same as `site`, on that server."""
    with server.fresh_database() as url:
        database = Database(url)
        migrations.migrate(database)
        database.close()
        opened = Site(url, tmp_path)
        models.bind(opened.database.orm)
        try:
            yield opened
        finally:
            opened.close()
        assert not opened.faults()

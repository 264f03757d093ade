"""A site for each crash test, cleared away at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import models
from tests.crash.harness import Site


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

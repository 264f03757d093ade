"""A manager that cannot start says why, in one line."""

from __future__ import annotations

import pytest

import migrations
from tests.crash.harness import Site


def test_a_database_that_was_not_migrated(site: Site) -> None:
    migrations.revert(site.database, None)
    manager = site.manager()
    assert manager.wait() == 1
    (line,) = manager.output.splitlines()
    assert "run python manage.py migrate" in line


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_unknown_setting(site: Site) -> None:
    manager = site.manager(pol_seconds=1)
    assert manager.wait() == 1
    (line,) = manager.output.splitlines()
    assert "CAPATAZ_POL_SECONDS" in line
    assert "did you mean CAPATAZ_POLL_SECONDS?" in line

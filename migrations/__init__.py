"""Numbered migrations, up and down, applied by one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playhouse.migrations import MigrationError, Runner

from database import Database, DatabaseAway

DIRECTORY = Path(__file__).resolve().parent

# Any number will do, as long as nothing else in the same database uses it.
ADVISORY_LOCK = 4_271_859_306


def migrate(database: Database) -> list[str]:
    """Apply what is pending, in order; the names applied. Two at once both end well.

    Raises `DatabaseAway`, and `MigrationError` for a migration that cannot be run.
    """
    with _alone(database):
        return list(_runner(database).up())


def revert(database: Database, target: str | None = None) -> list[str]:
    """Take back the newest migration, or all back to and including `target`."""
    with _alone(database):
        return list(_runner(database).down(target))


def pending(database: Database) -> list[str]:
    """The names of migrations that were not applied yet. Raises `DatabaseAway`."""
    with database.session():
        return [m.name for m in _runner(database).status() if m.applied is None]


def _runner(database: Database) -> Runner:
    return Runner(database.orm, str(DIRECTORY))


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Hold the lock of whoever migrates, and this thread's connection, until the end."""
    with database.session() as connection:
        if database.path is None:
            connection.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))
            try:
                yield
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (ADVISORY_LOCK,))
            return
        with Path(f"{database.path}.migrating").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


__all__ = ["DatabaseAway", "MigrationError", "migrate", "pending", "revert"]

"""Numbered migrations, up and down, applied by one process at a time."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from playhouse.migrations import MigrationError, Runner

from database import Database, DatabaseAway

DIRECTORY = Path(__file__).resolve().parent

# Any number will do, as long as nothing else in the same database uses it.
ADVISORY_LOCK = 4_271_859_306
LOCK = """
    SELECT pg_try_advisory_xact_lock(%s),
        set_config('idle_in_transaction_session_timeout', '0', true)"""
LOOK_SECONDS = 0.1


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
    lock = _server_lock(database.url) if database.path is None else _file_lock(database.path)
    with database.session(), lock:
        yield


@contextmanager
def _server_lock(url: str) -> Iterator[None]:
    # Not the lock of a session: a pooler would leave that with a connection that others use. So it
    # is a transaction's, on a connection of its own since migrations have transactions of theirs.
    keeper = Database(url, connections=1)
    try:
        with keeper.session() as connection:
            while not _locks(connection):
                # Not waited for in a transaction: that would take one of a pooler's connections
                # from whoever has the lock.
                time.sleep(LOOK_SECONDS)
            yield
    finally:
        keeper.close()


def _locks(connection: Any) -> bool:
    """Begin a transaction that has the lock; it ends with the connection."""
    try:
        connection.execute("BEGIN")
        if connection.execute(LOCK, (ADVISORY_LOCK,)).fetchone()[0]:
            return True
        connection.execute("ROLLBACK")
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error), nothing_done=True) from error
    return False


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.with_name(f"{path.name}.migrating").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


__all__ = ["DatabaseAway", "MigrationError", "migrate", "pending", "revert"]

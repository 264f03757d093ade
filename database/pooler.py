"""A pooler (PgBouncer) between us and PostgreSQL, and the settings of a session despite it.

In transaction mode each transaction may run on another of the server's connections, which others
use before and after: settings and prepared statements of a session are lost, or leak to others.
So behind a pooler each transaction brings its own settings along, and nothing is prepared.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import send

from database.statements import Row

# The hot statements join a handful of keys to a large table: with stale statistics the planner may
# scan it instead, and a generic plan cannot see a LIMIT's size.
SETTINGS = {
    "plan_cache_mode": "force_custom_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "timezone": "UTC",
}


def _set(local: str) -> str:
    names = ", ".join(f"set_config('{name}', '{to}', {local})" for name, to in SETTINGS.items())
    return f"{names}, set_config('lock_timeout', %(lock_ms)s, {local})"


# A pooler invents a process id of its own. Set locally, that is for this statement only, nothing
# leaks to whoever uses the server's connection next.
_OPEN = f"SELECT pg_backend_pid() <> %(pid)s, {_set('pg_backend_pid() <> %(pid)s')}"
_LOCAL = f"SELECT {_set('true')}"


def set_up(connection: Any, lock_ms: int = 0) -> bool:
    """Give a new connection its settings; whether it leads through a pooler.

    `lock_ms` is how long a statement waits for a lock, 0 for as long as it takes.
    """
    given = {"pid": connection.info.backend_pid, "lock_ms": str(lock_ms)}
    pooled, *_ = connection.execute(_OPEN, given).fetchone()
    if pooled:
        connection.prepare_threshold = None
    return bool(pooled)


def is_pooled(connection: Any) -> bool:
    """Whether this connection, which was set up, leads through a pooler."""
    return connection.prepare_threshold is None


def pipeline(connection: Any) -> AbstractContextManager[Any]:
    """What is sent within needs no answer until one is asked for, or until its end."""
    if is_pooled(connection) and connection._pipeline is None:
        connection._pipeline = _Pipeline(connection)
    return connection.pipeline()  # type: ignore[no-any-return]


def set_up_transaction(connection: Any, lock_ms: int = 0) -> None:
    """What the transaction needs that has just begun, in a pipeline."""
    if is_pooled(connection):
        connection.execute(_LOCAL, {"lock_ms": str(lock_ms)})


def read(
    connection: Any, statement: str, parameters: Mapping[str, Any] | None, lock_ms: int = 0
) -> list[Row]:
    """The rows of one statement outside a transaction, through a pooler in one round trip."""
    # What a pipeline sends until its end is one transaction.
    with pipeline(connection):
        connection.execute(_LOCAL, {"lock_ms": str(lock_ms)})
        cursor = connection.execute(statement, parameters)
    return cursor.fetchall()  # type: ignore[no-any-return]


class _Pipeline(psycopg.Pipeline):
    """A pipeline whose last message is its Sync.

    The driver's own may send a Flush after it. When the Sync was answered before the Flush comes,
    PgBouncer takes another of the server's connections for it, and since no answer follows a Flush
    keeps it from all others until this client speaks again.
    """

    def _exit_gen(self) -> PQGen[None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        finally:
            yield from send(self.pgconn)
            yield from self._fetch_gen(flush=False)

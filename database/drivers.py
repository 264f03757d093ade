"""How a connection to each database is opened, and with which session settings."""

from __future__ import annotations

import select
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import apsw
import psycopg
from playhouse.apsw_ext import APSWDatabase
from playhouse.pool import _PooledPostgresqlDatabase
from playhouse.postgres_ext import Psycopg3Database
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus

import forks
from database import pooler
from database.turn import Turn

BUSY_SECONDS = 10.0


def lock_path(database: str) -> str:
    """The file whose lock is the right to write to this SQLite database."""
    return f"{database}.lock"


class Sqlite(APSWDatabase):  # type: ignore[misc]
    """SQLite through apsw, whose wheel carries a SQLite without the WAL-reset corruption."""

    field_types = APSWDatabase.field_types | {"UUID": "BLOB"}

    def __init__(self, path: str, turn: Turn) -> None:
        super().__init__(path, timeout=BUSY_SECONDS)
        self._turn = turn

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(self.database)
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        connection.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        if connection.execute("PRAGMA journal_mode").get != "wal":
            # Only one connection may change it, and no busy handler waits for that one.
            with self._turn:
                connection.execute("PRAGMA journal_mode = wal")
        connection.convert_binding = _text_of_time
        return connection


def _text_of_time(_cursor: Any, _number: int, value: Any) -> str:
    """The history of migrations binds a datetime, which SQLite itself does not know."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    raise TypeError(f"SQLite cannot hold a {type(value).__name__}")


class _UuidText(Loader):
    """A uuid as the text that HTTP shows; making `uuid.UUID` objects costs more than the claim."""

    def load(self, data: Any) -> str:
        return bytes(data).decode()


class _PostgresSession(Psycopg3Database):  # type: ignore[misc]
    # Whether the newest connection leads through a pooler.
    pooled = False
    lock_ms = 0

    def _connect(self) -> Any:
        connection = super()._connect()
        try:
            # Two who talk on one socket: a job's fork that ends it would end it for us, too.
            forks.keep(connection.fileno())
            connection.adapters.register_loader("uuid", _UuidText)
            self.pooled = pooler.set_up(connection, self.lock_ms)
        except BaseException:
            connection.close()
            raise
        return connection


class Postgres(_PooledPostgresqlDatabase, _PostgresSession):  # type: ignore[misc]
    """A pool of such connections, one a thread while it is in a session."""

    def _is_closed(self, connection: Any) -> bool:
        """Whether an idle connection is of no use: one that has something to say was ended by the
        server. It costs no round trip, where the pool's own look takes one at each use."""
        if not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE:
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLIN)
            if not poll.poll(0):
                return False
        with suppress(psycopg.Error):
            connection.close()
        return True


def connection_parameters(url: str) -> dict[str, Any]:
    """What a `postgresql://` URL says, as the driver's own parameters; its query wins."""
    parts = urlsplit(url)
    given = {
        "host": unquote(parts.hostname) if parts.hostname else None,
        "port": parts.port,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    } | dict(parse_qsl(parts.query))
    defaults = {
        "application_name": "capataz",
        "connect_timeout": 5,
        # A server that vanishes without a word must not hold a heartbeat until leases have ended.
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
    return defaults | {name: value for name, value in given.items() if value is not None}


def sqlite_version() -> str:
    """The version of the SQLite in use (not the one of Python's own module)."""
    return str(apsw.sqlite_lib_version())

"""The door to the database: one `Database` for SQLite and PostgreSQL.

peewee opens the connections and owns the schema; the statements that move orders are SQL text
run on the driver's own cursor, because an ORM insert costs more than everything around it.
Every write goes through `Database.write`, which gives one short transaction.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import apsw
import peewee
import psycopg
from playhouse.apsw_ext import APSWDatabase
from playhouse.pool import _PooledPostgresqlDatabase
from playhouse.postgres_ext import Psycopg3Database
from psycopg.adapt import Loader

T = TypeVar("T")
Row = tuple[Any, ...]

BUSY_SECONDS = 10.0
DEADLOCK_TRIES = 20
_ACCESS_FAILURES: tuple[type[BaseException], ...] = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    peewee.OperationalError,
    peewee.InterfaceError,
    OSError,
)


class DatabaseAway(Exception):
    """The database cannot be reached or written just now; whether a commit took is not known."""


class Sql:
    """One statement, for both databases: named parameters as `:name`, `{now}` for the clock.

    `{now}` is milliseconds since 1970 by the database's clock on PostgreSQL and by the host's on
    SQLite, the same throughout one statement.
    """

    __slots__ = ("postgres", "sqlite")

    NOW_SQLITE = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    NOW_POSTGRES = "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)"

    def __init__(self, both: str = "", *, sqlite: str = "", postgres: str = "") -> None:
        self.sqlite = (sqlite or both).replace("{now}", self.NOW_SQLITE)
        text = (postgres or both).replace("{now}", self.NOW_POSTGRES).replace("%", "%%")
        self.postgres = re.sub(r"(?<![:\w]):([a-z_]+)", r"%(\1)s", text)


class Transaction:
    """What a unit of work may do: run statements on the connection of its own transaction."""

    __slots__ = ("_cursor", "_text", "dialect")

    def __init__(self, cursor: Any, dialect: str) -> None:
        self._cursor = cursor
        self.dialect = dialect
        self._text = "sqlite" if dialect == "sqlite" else "postgres"

    def rows(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement that answers rows, and fetch them all."""
        self._cursor.execute(getattr(statement, self._text), parameters)
        return self._cursor.fetchall()  # type: ignore[no-any-return]

    def run(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement whose rows, if any, nobody needs."""
        self._cursor.execute(getattr(statement, self._text), parameters)

    def many(self, statement: Sql, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement once for each set of parameters."""
        self._cursor.executemany(getattr(statement, self._text), parameters)

    def many_rows(self, statement: Sql, parameters: Iterable[Mapping[str, Any]]) -> list[Row]:
        """The same on SQLite only, collecting what each run answers (`RETURNING`)."""
        return list(self._cursor.executemany(statement.sqlite, parameters))


class Database:
    """One database, opened by URL; safe to share between threads (a connection a thread)."""

    def __init__(self, url: str, *, connections: int = 20) -> None:
        self.url = url
        self.dialect = "sqlite" if url.startswith("sqlite:") else "postgresql"
        self.path: Path | None = None
        self._files = threading.local()
        if self.dialect == "sqlite":
            self.path = Path(unquote(url.removeprefix("sqlite:///"))).absolute()
            self.orm: Any = _Sqlite(str(self.path), timeout=BUSY_SECONDS)
        else:
            self.orm = _Postgres(
                unquote(urlsplit(url).path.lstrip("/")),
                max_connections=connections,
                timeout=BUSY_SECONDS,
                **_connection_parameters(url),
            )

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and commit it; what it raises rolls it back.

        A deadlock or a serialization failure repeats the whole of it, so `work` must have no
        effect outside the database. Raises `DatabaseAway`.
        """
        for remaining in range(DEADLOCK_TRIES, -1, -1):
            try:
                with self.session(), self._turn():
                    return self._transact(work)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if not remaining:
                    raise
                time.sleep(random.uniform(0, 0.02))  # noqa: S311 (spreads repeats, no secret)
        raise AssertionError("unreachable")

    def read(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of one statement that writes nothing. Raises `DatabaseAway`.

        A connection that died while idle is replaced and the statement repeated once.
        """
        for last in (False, True):
            with self.session() as connection:
                try:
                    cursor = connection.cursor()
                    return Transaction(cursor, self.dialect).rows(statement, parameters)
                except _ACCESS_FAILURES as error:
                    self.discard()
                    if last or self.dialect == "sqlite":
                        raise DatabaseAway(_reason(error)) from error
        raise AssertionError("unreachable")

    @contextmanager
    def session(self) -> Iterator[Any]:
        """The driver's connection of this thread.

        On PostgreSQL the outermost session takes one from the pool and gives it back; SQLite's
        stay with their thread. Raises `DatabaseAway`.
        """
        opened = False
        try:
            if self.orm.is_closed():
                opened = self.orm.connect(reuse_if_open=True)
            connection = self.orm.connection()
        except (*_ACCESS_FAILURES, peewee.PeeweeException) as error:
            raise DatabaseAway(_reason(error)) from error
        try:
            yield connection
        finally:
            if opened and self.dialect == "postgresql" and not self.orm.is_closed():
                self.orm.close()

    def key(self, order_id: str) -> Any:
        """An order's id as this database holds it: 16 bytes, or PostgreSQL's uuid."""
        if self.dialect == "sqlite":
            return bytes.fromhex(order_id.replace("-", ""))
        return order_id

    def close(self) -> None:
        """Close this thread's connection and the pool's idle ones."""
        with suppress(*_ACCESS_FAILURES):
            if not self.orm.is_closed():
                self.orm.close()
            if self.dialect == "postgresql":
                self.orm.close_idle()

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        cursor = self._begin()
        try:
            result = work(Transaction(cursor, self.dialect))
            cursor.execute("COMMIT")
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            self._roll_back(cursor)
            raise
        except _ACCESS_FAILURES as error:
            self._roll_back(cursor)
            self.discard()
            raise DatabaseAway(_reason(error)) from error
        except BaseException:
            self._roll_back(cursor)
            raise
        return result

    def _begin(self) -> Any:
        """A cursor inside a new transaction; a pooled connection that died idle is replaced."""
        begin = "BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN"
        try:
            cursor = self.orm.connection().cursor()
            cursor.execute(begin)
        except _ACCESS_FAILURES as error:
            self.discard()
            if self.dialect == "sqlite":
                raise DatabaseAway(_reason(error)) from error
            try:
                self.orm.close_idle()
                self.orm.connect()
                cursor = self.orm.connection().cursor()
                cursor.execute(begin)
            except (*_ACCESS_FAILURES, peewee.PeeweeException) as again:
                raise DatabaseAway(_reason(again)) from again
        return cursor

    def _roll_back(self, cursor: Any) -> None:
        try:
            cursor.execute("ROLLBACK")
        except (apsw.Error, psycopg.Error):
            self.discard()

    def discard(self) -> None:
        """Close this thread's connection for good instead of giving it back to the pool."""
        with suppress(*_ACCESS_FAILURES, peewee.PeeweeException):
            if self.dialect == "postgresql":
                self.orm.manual_close()
            elif not self.orm.is_closed():
                self.orm.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite only: wait in line for the write lock.

        SQLite's own busy handler sleeps and starves writers; the kernel's queue on a lock file is
        fair, and is released when a process dies.
        """
        if self.path is None:
            yield
            return
        descriptor = getattr(self._files, "turn", None)
        if descriptor is None:
            try:
                descriptor = _LockFile(f"{self.path}.lock")
            except OSError as error:
                raise DatabaseAway(_reason(error)) from error
            self._files.turn = descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


class _LockFile:
    """A descriptor of its own for each thread, closed with the thread."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)


class _Sqlite(APSWDatabase):  # type: ignore[misc]
    """SQLite through apsw, whose wheel carries a SQLite without the WAL-reset corruption."""

    field_types = APSWDatabase.field_types | {"UUID": "BLOB"}

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(self.database)
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        connection.execute(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
        )
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
    def _connect(self) -> Any:
        connection = super()._connect()
        connection.adapters.register_loader("uuid", _UuidText)
        # The hot statements join a handful of keys to a large table: with stale statistics the
        # planner may scan it instead, and a generic plan cannot see a LIMIT's size.
        connection.execute(
            "SET plan_cache_mode = force_custom_plan; SET enable_hashjoin = off; "
            "SET enable_mergejoin = off; SET enable_seqscan = off; SET timezone = 'UTC'; "
            "SET jit = off"
        )
        return connection


class _Postgres(_PooledPostgresqlDatabase, _PostgresSession):  # type: ignore[misc]
    """A pool of such connections, one a thread while it is in a session."""


def _connection_parameters(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    given = {
        "host": unquote(parts.hostname) if parts.hostname else None,
        "port": parts.port,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    } | dict(parse_qsl(parts.query))
    defaults = {"connect_timeout": 5, "application_name": "capataz"}
    return defaults | {name: value for name, value in given.items() if value is not None}


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no reason given'}"


def sqlite_version() -> str:
    """The version of the SQLite in use (not the one of Python's own module)."""
    return str(apsw.sqlite_lib_version())

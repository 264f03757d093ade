"""The door to the database: one `Database` for SQLite and PostgreSQL.

peewee opens the connections and owns the schema; the statements that move orders are SQL text
run on the driver's own cursor, because an ORM insert costs more than everything around it.
Every write goes through `Database.write`, which gives one short transaction.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import apsw
import peewee
import psycopg
from playhouse.pool import MaxConnectionsExceeded

from database import pooler
from database.drivers import (
    BUSY_SECONDS,
    Postgres,
    Sqlite,
    connection_parameters,
    lock_path,
    sqlite_version,
)
from database.errors import DatabaseAway, RowsLocked, SchemaMissing
from database.statements import Row, Sql, Transaction, id_key, id_list
from database.turn import FOREIGN, Turn

T = TypeVar("T")

DEADLOCK_TRIES = 20
_ACCESS_FAILURES: tuple[type[BaseException], ...] = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    psycopg.OperationalError,
    # A server that was told to, as before a failover, or a standby.
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.InterfaceError,
    peewee.OperationalError,
    peewee.InterfaceError,
    OSError,
)
_CONNECT_FAILURES: tuple[type[BaseException], ...] = (
    *_ACCESS_FAILURES,
    peewee.PeeweeException,
    MaxConnectionsExceeded,
)


class Database:
    """One database, opened by URL; safe to share between threads (a connection a thread)."""

    def __init__(
        self,
        url: str,
        *,
        connections: int = 20,
        turn_seconds: float = BUSY_SECONDS,
        lock_seconds: float = 0,
    ) -> None:
        """`connections`: at most so many on PostgreSQL. `turn_seconds`: how long a write to SQLite
        waits for its turn among all threads and processes. `lock_seconds`: how long a statement on
        PostgreSQL waits for what somebody keeps locked, 0 for as long as it takes."""
        self.url = url
        self.dialect = "sqlite" if url.startswith("sqlite:") else "postgresql"
        self.path: Path | None = None
        self._lock_ms = round(lock_seconds * 1000)
        self._turn: AbstractContextManager[None] = nullcontext()  # PostgreSQL needs no turns
        if self.dialect == "sqlite":
            self.path = Path(unquote(url.removeprefix("sqlite:///"))).absolute()
            self._turn = turn = Turn(lock_path(str(self.path)), turn_seconds)
            self.orm: Any = Sqlite(str(self.path), turn)
        else:
            self.orm = Postgres(
                unquote(urlsplit(url).path.lstrip("/")),
                max_connections=connections,
                timeout=BUSY_SECONDS,
                **connection_parameters(url),
            )
            self.orm.lock_ms = self._lock_ms

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and commit it; what it raises rolls it back.

        A deadlock or a serialization failure repeats the whole of it, and so does, once, a
        connection that was lost before the commit: `work` must have no effect outside the
        database. Raises `DatabaseAway`; as `RowsLocked` where `work` limits its wait for locks.
        """
        lost = self.dialect == "sqlite"
        for remaining in range(DEADLOCK_TRIES, -1, -1):
            try:
                with self.session(), self._turn:
                    return self._transact(work)
            except RowsLocked:
                raise
            except DatabaseAway as error:
                if lost or not error.nothing_done:
                    raise
                lost = True
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                if not remaining:
                    raise
                time.sleep(random.uniform(0, 0.02))  # noqa: S311 (spreads repeats, no secret)
        raise AssertionError("unreachable")

    def read(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of one statement that writes nothing, repeated once if its connection is lost.

        Raises `DatabaseAway`.
        """
        lost = self.dialect == "sqlite"
        while True:
            with self.session() as connection:
                try:
                    return self._read(connection, statement, parameters)
                except Exception as error:
                    if isinstance(error, _ACCESS_FAILURES):
                        self.discard()
                    if lost or not isinstance(error, _ACCESS_FAILURES):
                        raise _translated(error) from error
                    lost = True

    @property
    def pooled(self) -> bool:
        """Whether a pooler, such as PgBouncer, is between us and the server: then LISTEN and the
        locks of a session are of no use. Known after the first connection; False until then."""
        return bool(self.dialect == "postgresql" and self.orm.pooled)

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
        except _CONNECT_FAILURES as error:
            raise DatabaseAway(_reason(error), nothing_done=True) from error
        try:
            yield connection
        finally:
            if opened and self.dialect == "postgresql" and not self.orm.is_closed():
                self.orm.close()

    def key(self, order_id: str) -> Any:
        """An order's id as this database holds it: 16 bytes, or PostgreSQL's uuid."""
        return id_key(self.dialect, order_id)

    def ids(self, order_ids: Iterable[str]) -> Any:
        """Many ids as one parameter of a statement."""
        return id_list(self.dialect, order_ids)

    def close(self) -> None:
        """Close this thread's connection and the pool's idle ones."""
        with suppress(*_ACCESS_FAILURES):
            if not self.orm.is_closed():
                self.orm.close()
            if self.dialect == "postgresql":
                self.orm.close_idle()

    def _read(
        self, connection: Any, statement: Sql, parameters: Mapping[str, Any] | None
    ) -> list[Row]:
        if self.dialect == "postgresql" and pooler.is_pooled(connection):
            return pooler.read(connection, statement.postgres, parameters, self._lock_ms)
        return Transaction(connection, self.dialect).rows(statement, parameters)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        connection = self.orm.connection()
        transaction = Transaction(connection, self.dialect)
        committing = False
        try:
            if self.dialect == "sqlite":
                connection.execute("BEGIN IMMEDIATE")
                result = work(transaction)
                committing = True
                connection.execute("COMMIT")
            else:
                # A pipeline sends what needs no answer together with the next statement that does:
                # most transactions take two round trips instead of six.
                with pooler.pipeline(connection):
                    connection.execute("BEGIN")
                    pooler.set_up_transaction(connection, self._lock_ms)
                    result = work(transaction)
                    committing = True
                    connection.execute("COMMIT")
        except BaseException as error:
            if isinstance(error, apsw.BusyError) and isinstance(self._turn, Turn):
                self._turn.keep_busy()
            self._roll_back(connection, error)
            raise _translated(error, nothing_done=not committing) from error
        return result

    def _roll_back(self, connection: Any, error: BaseException) -> None:
        # After an error of the server inside a pipeline the driver's list of prepared statements
        # is no longer the server's: such a connection would fail later statements.
        if isinstance(error, (psycopg.Error, *_ACCESS_FAILURES)):
            self.discard()
            return
        try:
            if self.dialect == "postgresql" or connection.in_transaction:
                connection.execute("ROLLBACK")
        except (apsw.Error, psycopg.Error):
            self.discard()

    def discard(self) -> None:
        """Close this thread's connection for good instead of giving it back to the pool."""
        with suppress(*_CONNECT_FAILURES):
            if self.dialect == "postgresql":
                self.orm.manual_close()
            elif not self.orm.is_closed():
                self.orm.close()


def _translated(error: BaseException, *, nothing_done: bool = True) -> BaseException:
    """What the caller gets to see of a failure: `DatabaseAway` for those that may pass."""
    if isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return error
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return RowsLocked(_reason(error), nothing_done=nothing_done)
    if isinstance(error, _ACCESS_FAILURES):
        return DatabaseAway(_reason(error), nothing_done=nothing_done)
    if isinstance(error, psycopg.errors.UndefinedTable) or (
        isinstance(error, apsw.SQLError) and "no such table" in str(error)
    ):
        return SchemaMissing(f"its schema is not up to date, run manage.py migrate: {error}")
    return error


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {text[0] if text else 'no reason given'}"
    return f"{reason}; {FOREIGN}" if isinstance(error, apsw.BusyError) else reason


__all__ = [
    "Database",
    "DatabaseAway",
    "Row",
    "RowsLocked",
    "SchemaMissing",
    "Sql",
    "Transaction",
    "id_list",
    "sqlite_version",
]

"""What the tests of the ledger look at afterwards, read straight from the tables."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import ledger
from database import Database, Row, Sql, Transaction

T = TypeVar("T")

ORDERS = Sql("SELECT * FROM job_order ORDER BY id")
ATTEMPTS = Sql("SELECT * FROM attempt ORDER BY order_id, lease")
KEYS = Sql("SELECT owner, key, digest, orders FROM idempotency ORDER BY owner, key")
TALLIES = Sql(
    "SELECT queue, type, before, after, n, runs, run_ms, histogram FROM tally ORDER BY id"
)
EVENTS = Sql("SELECT kind, n, orders, manager, data FROM event ORDER BY id")
COUNTED = Sql("SELECT status, count(*) FROM job_order GROUP BY status")
LOCK = Sql("SELECT id FROM job_order WHERE id = :id FOR UPDATE")
WAITED = Sql("UPDATE job_order SET run_at = run_at - :ms WHERE id = :id")


class Happening(NamedTuple):
    """An event with its ids unfolded."""

    kind: str
    ids: list[str]
    manager: str | None
    data: dict[str, Any]


def orders(database: Database) -> list[Row]:
    """Every row of the table of orders, whole."""
    return database.read(ORDERS)


def attempts(database: Database) -> list[Row]:
    """Every row of history, whole."""
    return database.read(ATTEMPTS)


def keys(database: Database) -> list[Row]:
    """Every idempotency key, without its time."""
    return [(owner, key, bytes(d), bytes(o)) for owner, key, d, o in database.read(KEYS)]


def tallies(database: Database) -> list[Row]:
    """Every tally as it was written, without its minute."""
    return database.read(TALLIES)


def moves(database: Database) -> Counter[tuple[str, str]]:
    """How many orders made each move, by the tallies."""
    counted: Counter[tuple[str, str]] = Counter()
    for _, _, before, after, n, *_ in tallies(database):
        counted[before, after] += n
    return counted


def events(database: Database, kind: str | None = None) -> list[Happening]:
    """Every event (of this kind), the oldest first."""
    found = []
    for name, n, packed, manager, data in database.read(EVENTS):
        ids = list(ledger.unpack(bytes(packed))) if packed is not None else []
        assert len(ids) == n
        if kind in (None, name):
            found.append(Happening(name, ids, manager, json.loads(data) if data else {}))
    return found


def counted(database: Database) -> dict[str, int]:
    """How many orders stand in each status, by counting them."""
    return {status: int(n) for status, n in database.read(COUNTED)}


def levels(database: Database) -> dict[str, int]:
    """The same by the tallies, without the empty ones."""
    return {status: n for status, n in ledger.levels(database).by_status.items() if n}


def waited(database: Database, order_id: str, ms: int) -> None:
    """Let an order have become due that much earlier."""
    key = {"id": database.key(order_id), "ms": ms}
    database.write(lambda transaction: transaction.run(WAITED, key))


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Run each in a thread of its own, let go together; their answers in order."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        gate.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@contextmanager
def locked(database: Database, order_id: str) -> Iterator[None]:
    """While somebody else has this order's row; PostgreSQL only."""
    has, let_go = threading.Event(), threading.Event()

    def work(transaction: Transaction) -> None:
        transaction.rows(LOCK, {"id": order_id})
        has.set()
        assert let_go.wait(60)

    holder = threading.Thread(target=database.write, args=(work,))
    holder.start()
    assert has.wait(20)
    try:
        yield
    finally:
        let_go.set()
        holder.join()


def plan(database: Database, statement: Sql, parameters: dict[str, Any]) -> str:
    """How the database would carry this statement out, a line a step."""
    with database.session() as connection:
        if database.dialect == "sqlite":
            text = f"EXPLAIN QUERY PLAN {statement.sqlite}"
            return "\n".join(row[3] for row in connection.execute(text, parameters).fetchall())
        text = f"EXPLAIN {statement.postgres}"
        return "\n".join(row[0] for row in connection.execute(text, parameters).fetchall())

"""Retention: what ended long ago is deleted, in small steps along the key.

An order's id begins with the time at which it was made, and events are numbered in the order of
their time. So what may be old enough lies at the low end of both keys: a pass begins there and
stops where nothing can be old. What it looks at and leaves, because it still waits or ended later,
the next pass looks at again.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from database import Database, Sql, Transaction
from ledger.ids import text_id
from ledger.journal import delete_lines
from ledger.record import Record, note
from ledger.steer import DELETE_ATTEMPTS
from ledger.submit import KEY_LIFE_MS
from models import NOTHING

# What a lost manager had is told for ten minutes; after a day it is of no use.
LEAST_MANAGER_LIFE_MS = 600_000
MOST_MANAGER_LIFE_MS = 24 * 3_600_000

# So many rows are looked at in one statement, and so many deleted in one transaction. That is to
# take no longer than so long: on SQLite, where all others wait for it, less than a commit.
WINDOW = 1_000
FIRST_BATCH, LEAST_BATCH, MOST_BATCH = 20, 5, 200
BATCH_SECONDS = {"sqlite": 0.004, "postgresql": 0.020}

# PostgreSQL only: what a power cut brings back is deleted again, so nobody need wait for the disk.
LAZILY = Sql("SET LOCAL synchronous_commit = off")

# Where a pass is: which of these, and behind which of its keys.
ORDERS, EVENTS, KEYS, MANAGERS = PHASES = ("orders", "events", "keys", "managers")

_FIRST_ID = "00000000-0000-0000-0000-000000000000"

NOW = Sql("SELECT {now}")

# Expressions that no index or statistic matches: what is looked for is found by its id.
_LONG_OVER = """status || '' IN ('completed', 'retrieved', 'failed', 'cancelled')
        AND completed_on + 0 < :before"""
LOOK = Sql(f"""
    SELECT id, CASE WHEN {_LONG_OVER} THEN 1 ELSE 0 END FROM job_order
    WHERE id > :after AND id < :below ORDER BY id LIMIT :most""")
# What somebody holds locked is left to the next pass.
DELETE_ORDERS = Sql(
    sqlite=f"""
    DELETE FROM job_order WHERE id {{among}} AND {_LONG_OVER} RETURNING id, queue, type, status""",
    postgres=f"""
    DELETE FROM job_order WHERE id = ANY(ARRAY(
        SELECT id FROM job_order WHERE id {{among}} AND {_LONG_OVER}
        ORDER BY id FOR UPDATE SKIP LOCKED)) AND {_LONG_OVER}
    RETURNING id, queue, type, status""",
)

# SQLite, once it has statistics, would rather search another index that ends with the id.
_LOOK_EVENTS = "SELECT id, at FROM {} WHERE id > :after ORDER BY id LIMIT :most"
_DELETE_EVENTS = "DELETE FROM {} WHERE id > :after AND id <= :until AND at < :before RETURNING id"
LOOK_EVENTS, DELETE_EVENTS = (
    Sql(sqlite=text.format("event NOT INDEXED"), postgres=text.format("event"))
    for text in (_LOOK_EVENTS, _DELETE_EVENTS)
)

_DELETE_KEYS = """
    DELETE FROM idempotency WHERE (owner, key) IN (
        SELECT owner, key FROM idempotency WHERE created_on < {{now}} - :life
        ORDER BY created_on LIMIT :most{lock}) RETURNING key"""
DELETE_KEYS = Sql(
    sqlite=_DELETE_KEYS.format(lock=""),
    postgres=_DELETE_KEYS.format(lock=" FOR UPDATE SKIP LOCKED"),
)

DELETE_MANAGERS = Sql("""
    DELETE FROM manager AS m WHERE m.ended_on < {now} - :life AND NOT EXISTS (
        SELECT 1 FROM job_order AS o WHERE o.status = 'wip' AND o.manager = m.id)
    RETURNING id""")
DELETE_WORKERS = Sql("DELETE FROM worker WHERE manager = :manager")


class Sweep:
    """One pass over all that may be older than its retention, a small step at a time.

    `place` says where it is, for whoever goes on with it. Any number may do the same pass at once
    and delete nothing twice; but each looks at all of it.
    """

    def __init__(
        self, database: Database, retention_ms: int, place: Mapping[str, Any] | None = None
    ) -> None:
        """Begin a pass, or go on where the `place` of another was."""
        self._database = database
        self._retention_ms = retention_ms
        given = place or {}
        self._phase = PHASES.index(given["phase"]) if given.get("phase") in PHASES else 0
        self._after = given.get("after")
        self._resume = self._after
        self._before: int | None = None
        self._waiting: deque[str] = deque()
        self._is_last = False
        self._batch = _Batch(BATCH_SECONDS[database.dialect])
        self._steps: dict[str, Callable[[], bool]] = {
            ORDERS: self._orders,
            EVENTS: self._events,
            KEYS: self._keys,
            MANAGERS: self._managers,
        }
        self.deleted: Counter[str] = Counter()

    @property
    def began(self) -> int:
        """When the first step was (ms), by the database's clock."""
        assert self._before is not None, "nothing was done yet"
        return self._before + self._retention_ms

    @property
    def place(self) -> dict[str, Any]:
        """Where to go on when this pass breaks off here."""
        phase = PHASES[self._phase] if self._phase < len(PHASES) else None
        return {"phase": phase, "after": self._resume}

    def step(self) -> bool:
        """Look once, and delete one batch at most; whether more is to be done.

        Raises `DatabaseAway`.
        """
        if self._before is None:
            self._before = int(self._database.read(NOW)[0][0]) - self._retention_ms
        if not self._steps[PHASES[self._phase]]():
            self._phase += 1
            self._after = self._resume = None
            self._is_last = False
            self._batch = _Batch(BATCH_SECONDS[self._database.dialect])
        return self._phase < len(PHASES)

    def _orders(self) -> bool:
        assert self._before is not None, "set by the step"
        if not self._waiting:
            self._look_at_orders(self._before)
        if self._waiting:
            some = list(islice(self._waiting, self._batch.size))
            self._write(ORDERS, lambda tx: self._delete_orders(tx, some))
            for _ in some:
                self._waiting.popleft()
        if not self._waiting:
            self._resume = self._after
        return bool(self._waiting) or not self._is_last

    def _look_at_orders(self, before: int) -> None:
        key = self._database.key
        bounds = {
            "after": key(self._after or _FIRST_ID),
            "below": key(_least_id(before)),
            "before": before,
        }
        rows = self._database.read(LOOK, bounds | {"most": WINDOW})
        self._waiting.extend(text_id(order_id) for order_id, is_over in rows if is_over)
        self._is_last = len(rows) < WINDOW
        if rows:
            self._after = text_id(rows[-1][0])

    def _delete_orders(self, transaction: Transaction, ids: list[str]) -> int:
        parameters = {"ids": transaction.ids(ids), "before": self._before}
        gone = transaction.rows(DELETE_ORDERS, parameters)
        if not gone:
            return 0
        theirs = transaction.ids(text_id(row[0]) for row in gone)
        transaction.run(DELETE_ATTEMPTS, {"ids": theirs})
        delete_lines(transaction, theirs)
        record = Record()
        for _, queue, kind, status in gone:
            record.move(queue, kind, status, NOTHING)
        record.write(transaction)
        return len(gone)

    def _events(self) -> bool:
        after = self._after or 0
        most = self._batch.size
        rows = self._database.read(LOOK_EVENTS, {"after": after, "most": most})
        # Where a whole batch is younger, all behind it is.
        if not any(at < self._before for _, at in rows):
            return False
        bounds = {"after": after, "until": rows[-1][0], "before": self._before}
        self._write(EVENTS, lambda tx: len(tx.rows(DELETE_EVENTS, bounds)))
        self._after = self._resume = rows[-1][0]
        return len(rows) == most

    def _keys(self) -> bool:
        old = {"life": KEY_LIFE_MS, "most": self._batch.size}
        return self._write(KEYS, lambda tx: len(tx.rows(DELETE_KEYS, old))) == old["most"]

    def _managers(self) -> bool:
        life = min(max(self._retention_ms, LEAST_MANAGER_LIFE_MS), MOST_MANAGER_LIFE_MS)

        def work(transaction: Transaction) -> int:
            gone = transaction.rows(DELETE_MANAGERS, {"life": life})
            transaction.many(DELETE_WORKERS, [{"manager": name} for (name,) in gone])
            return len(gone)

        self._write(MANAGERS, work)
        return False

    def _write(self, what: str, work: Callable[[Transaction], int]) -> int:
        """Run the work in a transaction, and take note of how much it deleted, and how quickly."""
        spent = 0.0

        def timed(transaction: Transaction) -> int:
            nonlocal spent
            if transaction.dialect == "postgresql":
                transaction.run(LAZILY)
            began = time.perf_counter()
            count = work(transaction)
            spent = time.perf_counter() - began
            return count

        count = self._database.write(timed)
        self._batch.took(spent)
        self.deleted[what] += count
        return count


class _Batch:
    """How much to delete at once, by how long the last batch took: rows may be of any size."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.size = FIRST_BATCH

    def took(self, seconds: float) -> None:
        if seconds > self._seconds:
            self.size = max(LEAST_BATCH, self.size // 2)
        elif seconds < self._seconds / 2:
            self.size = min(MOST_BATCH, self.size + self.size // 4)


def tell(database: Database, manager: str, deleted: Mapping[str, int]) -> None:
    """Leave an event that so much was deleted. Raises `DatabaseAway`."""
    database.write(lambda transaction: note(transaction, "retention_deleted", manager, **deleted))


def _least_id(milliseconds: int) -> str:
    """The least id that can be made at that time."""
    digits = f"{max(milliseconds, 0):012x}"
    return f"{digits[:8]}-{digits[8:12]}-0000-0000-000000000000"

"""Moves that people make: cancel, retry by hand, retrieve, delete; pausing a queue.

Each locks its order, then moves it with a statement that repeats the guard.
"""

from __future__ import annotations

from typing import NamedTuple

from database import Database, Sql, Transaction
from ledger.orders import COLUMNS, MoveRefused, OrderRow, UnknownOrder, order_row
from ledger.record import Record, keep_attempts, note
from models import (
    ALL_QUEUES,
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    NOTHING,
    PENDING,
    RETRIEVED,
    WIP,
)

FIND = Sql(f"SELECT {COLUMNS} FROM job_order WHERE id = :id")

LOCK = Sql(
    sqlite=f"SELECT {COLUMNS} FROM job_order WHERE id = :id",
    postgres=f"SELECT {COLUMNS} FROM job_order WHERE id = :id FOR UPDATE",
)

CANCEL = Sql(f"""
    UPDATE job_order SET status = 'cancelled', completed_on = {{now}}, last_updated = {{now}},
        run_ms = CASE WHEN started_on IS NOT NULL THEN {{now}} - started_on END
    WHERE id = :id AND status IN ('pending', 'wip') RETURNING {COLUMNS}""")

RETRY = Sql(f"""
    UPDATE job_order SET status = 'pending', attempts = 0, crashes = 0, run_at = {{now}},
        last_updated = {{now}}, completed_on = NULL, started_on = NULL, run_ms = NULL,
        error = NULL, progress = NULL, manager = NULL, worker = NULL
    WHERE id = :id AND status IN ('failed', 'cancelled') RETURNING {COLUMNS}""")

RETRIEVE = Sql("""
    UPDATE job_order SET status = 'retrieved', retrieved_on = {now}
    WHERE id = :id AND status = 'completed' RETURNING queue, type""")

DELETE = Sql("""
    DELETE FROM job_order WHERE id = :id
    AND status IN ('completed', 'retrieved', 'failed', 'cancelled')""")
DELETE_ATTEMPTS = Sql("DELETE FROM attempt WHERE order_id = :id")

HISTORY = Sql("""
    SELECT lease, number, outcome, manager, worker, started_on, ended_on, run_ms, error
    FROM attempt WHERE order_id = :id ORDER BY lease""")

PAUSE = Sql("""
    INSERT INTO queue (name, created_on, paused_on) VALUES (:name, {now}, {now})
    ON CONFLICT (name) DO UPDATE SET paused_on = coalesce(queue.paused_on, excluded.paused_on)""")
RESUME = Sql("""
    INSERT INTO queue (name, created_on) VALUES (:name, {now})
    ON CONFLICT (name) DO UPDATE SET paused_on = NULL""")

QUEUES = Sql("SELECT name, paused_on FROM queue ORDER BY name")


class PastAttempt(NamedTuple):
    """An earlier, ended attempt of an order; times in ms."""

    lease: int
    number: int
    outcome: str
    manager: str | None
    worker: str | None
    started_on: int | None
    ended_on: int
    run_ms: int | None
    error: str | None


class QueueRow(NamedTuple):
    """A queue, and since when it is paused (ms), if it is."""

    name: str
    paused_on: int | None


def find(database: Database, order_id: str) -> OrderRow:
    """The order as it is now. Raises `UnknownOrder`, `DatabaseAway`."""
    rows = database.read(FIND, {"id": database.key(order_id)})
    if not rows:
        raise UnknownOrder(order_id)
    return order_row(rows[0])


def history(database: Database, order_id: str) -> list[PastAttempt]:
    """The order's earlier attempts, oldest first. Raises `DatabaseAway`."""
    rows = database.read(HISTORY, {"id": database.key(order_id)})
    return [PastAttempt._make(row) for row in rows]


def cancel(database: Database, order_id: str) -> OrderRow:
    """End an order that has not ended; who holds it learns of it by the next heartbeat.

    Raises `UnknownOrder`, `MoveRefused`, `DatabaseAway`.
    """

    def work(transaction: Transaction) -> OrderRow:
        before = _lock(transaction, order_id, "cancel", (PENDING, WIP))
        after = order_row(transaction.rows(CANCEL, {"id": transaction.key(order_id)})[0])
        record = Record()
        # A run that was cut short counts towards the times of runs like any other ending.
        record.move(after.queue, after.type, before.status, CANCELLED, after.run_ms)
        record.event("cancelled", [after.id], after.manager, before=before.status)
        record.write(transaction)
        return after

    return database.write(work)


def retry(database: Database, order_id: str) -> OrderRow:
    """Run a failed or cancelled order again from its first attempt; its history stays.

    Raises `UnknownOrder`, `MoveRefused`, `DatabaseAway`.
    """

    def work(transaction: Transaction) -> OrderRow:
        before = _lock(transaction, order_id, "retry", (FAILED, CANCELLED))
        _keep_attempt(transaction, before)
        after = order_row(transaction.rows(RETRY, {"id": transaction.key(order_id)})[0])
        record = Record()
        record.move(after.queue, after.type, before.status, PENDING)
        record.event("retried", [after.id], before=before.status)
        record.write(transaction)
        return after

    return database.write(work)


def retrieve(database: Database, order_id: str) -> bool:
    """Mark a completed order as collected; False when it is not completed (any more).

    Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> bool:
        moved = transaction.rows(RETRIEVE, {"id": transaction.key(order_id)})
        for queue, kind in moved:
            record = Record()
            record.move(queue, kind, COMPLETED, RETRIEVED)
            record.event("retrieved", [order_id])
            record.write(transaction)
        return bool(moved)

    return database.write(work)


def delete(database: Database, order_id: str) -> OrderRow:
    """Delete an ended order with its history. Raises as `cancel` does."""

    def work(transaction: Transaction) -> OrderRow:
        before = _lock(transaction, order_id, "delete", ENDED)
        key = {"id": transaction.key(order_id)}
        transaction.run(DELETE, key)
        transaction.run(DELETE_ATTEMPTS, key)
        record = Record()
        record.move(before.queue, before.type, before.status, NOTHING)
        record.event("deleted", [before.id])
        record.write(transaction)
        return before

    return database.write(work)


def pause(database: Database, queue: str = ALL_QUEUES) -> None:
    """Stop all claims from a queue, or from every one. Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> None:
        transaction.run(PAUSE, {"name": queue})
        note(transaction, "queue_paused", queue=queue)

    database.write(work)


def resume(database: Database, queue: str = ALL_QUEUES) -> None:
    """Let claims from a queue, or from every one, go on. Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> None:
        transaction.run(RESUME, {"name": queue})
        note(transaction, "queue_resumed", queue=queue)

    database.write(work)


def queues(database: Database) -> list[QueueRow]:
    """Every queue that was ever used or paused, by name. Raises `DatabaseAway`."""
    return [QueueRow._make(row) for row in database.read(QUEUES)]


def _lock(transaction: Transaction, order_id: str, move: str, allowed: tuple[str, ...]) -> OrderRow:
    rows = transaction.rows(LOCK, {"id": transaction.key(order_id)})
    if not rows:
        raise UnknownOrder(order_id)
    order = order_row(rows[0])
    if order.status not in allowed:
        raise MoveRefused(move, order.status, allowed)
    return order


def _keep_attempt(transaction: Transaction, order: OrderRow) -> None:
    """Copy the order's latest attempt into the history, since its row will be reused."""
    if order.manager is None:  # it was pending when it ended: its attempts are history already
        return
    keep_attempts(
        transaction,
        [
            {
                "id": transaction.key(order.id),
                "lease": order.lease,
                "number": order.attempts,
                "outcome": order.status,
                "manager": order.manager,
                "worker": order.worker,
                "started_on": order.started_on,
                "ended_on": order.completed_on,
                "run_ms": order.run_ms,
                "error": order.error,
            }
        ],
    )

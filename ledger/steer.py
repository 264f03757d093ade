"""Moves that people make: cancel, retry by hand, retrieve, delete; pausing a queue.

Each locks its orders, by id, then moves them with a statement that repeats the guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from database import Database, Row, Sql, Transaction
from ledger.callbacks import call_back
from ledger.claim import wait_for_claims
from ledger.ids import text_id
from ledger.journal import delete_lines
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

# The guards are expressions that no index or statistic matches: else a planner may prefer to walk
# all pending or running orders.
_LIVE = "status || '' IN ('pending', 'wip')"
_ENDED = "status || '' IN ('completed', 'retrieved', 'failed', 'cancelled')"

# Orders in any other state are neither locked nor waited for.
_LOCK_MANY = "SELECT id, status FROM job_order WHERE id {{among}} AND {guard}"
LOCK_LIVE, LOCK_ENDED = (
    Sql(
        sqlite=_LOCK_MANY.format(guard=guard),
        postgres=_LOCK_MANY.format(guard=guard) + " ORDER BY id FOR UPDATE",
    )
    for guard in (_LIVE, _ENDED)
)

_CANCEL = f"""
    UPDATE job_order SET status = 'cancelled', completed_on = {{now}}, last_updated = {{now}},
        run_ms = CASE WHEN started_on IS NOT NULL THEN {{now}} - started_on END
    WHERE id WHICH AND {_LIVE} RETURNING {COLUMNS}"""
CANCEL, CANCEL_MANY = (Sql(_CANCEL.replace("WHICH", which)) for which in ("= :id", "{among}"))

_RETRY = f"""
    UPDATE job_order SET status = 'pending', attempts = 0, crashes = 0,
        quarantined = CASE WHEN crashes > 0 THEN 1 ELSE quarantined END, run_at = {{now}},
        last_updated = {{now}}, completed_on = NULL, started_on = NULL, run_ms = NULL,
        error = NULL, progress = NULL, manager = NULL, worker = NULL
    WHERE id WHICH AND status || '' IN ('failed', 'cancelled') RETURNING {COLUMNS}"""
RETRY, RETRY_MANY = (Sql(_RETRY.replace("WHICH", which)) for which in ("= :id", "{among}"))

RETRIEVE = Sql("""
    UPDATE job_order SET status = 'retrieved', retrieved_on = {now}
    WHERE id = :id AND status = 'completed' RETURNING queue, type""")

DELETE = Sql(f"""
    DELETE FROM job_order WHERE id {{among}} AND {_ENDED} RETURNING id, queue, type, status""")
DELETE_ATTEMPTS = Sql("DELETE FROM attempt WHERE order_id {among}")

HISTORY = Sql("""
    SELECT lease, number, outcome, manager, worker, started_on, ended_on, run_ms, error
    FROM attempt WHERE order_id = :id ORDER BY lease""")

PAUSE = Sql("""
    INSERT INTO queue (name, created_on, paused_on, paused_by)
    VALUES (:name, {now}, {now}, :paused_by)
    ON CONFLICT (name) DO UPDATE SET paused_on = coalesce(queue.paused_on, excluded.paused_on),
        paused_by = CASE WHEN queue.paused_on IS NULL THEN excluded.paused_by
            ELSE queue.paused_by END""")
RESUME = Sql("""
    INSERT INTO queue (name, created_on) VALUES (:name, {now})
    ON CONFLICT (name) DO UPDATE SET paused_by = NULL, paused_on = NULL,
        resumed_on = CASE WHEN queue.paused_on IS NULL THEN queue.resumed_on ELSE {now} END""")

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
        rows = transaction.rows(CANCEL, {"id": transaction.key(order_id)})
        return _cancelled(transaction, {before.id: before.status}, rows)[0]

    return database.write(work)


def cancel_many(database: Database, order_ids: Iterable[str]) -> list[OrderRow]:
    """Cancel those of these orders that have not ended; they, as they are now, sorted by id.

    Unknown orders and those that have ended are passed over. Raises `DatabaseAway`.
    """
    given = list(order_ids)
    return database.write(lambda transaction: cancel_in(transaction, given)) if given else []


def cancel_in(transaction: Transaction, order_ids: Sequence[str]) -> list[OrderRow]:
    """The same within a transaction."""
    before = _lock_many(transaction, LOCK_LIVE, order_ids)
    if not before:
        return []
    rows = transaction.rows(CANCEL_MANY, {"ids": transaction.ids(before)})
    return _cancelled(transaction, before, rows)


def retry(database: Database, order_id: str) -> OrderRow:
    """Run a failed or cancelled order again from its first attempt; its history stays.

    Raises `UnknownOrder`, `MoveRefused`, `DatabaseAway`.
    """

    def work(transaction: Transaction) -> OrderRow:
        before = _lock(transaction, order_id, "retry", (FAILED, CANCELLED))
        keep_attempt(transaction, before)
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
        _delete(transaction, [order_id])
        return before

    return database.write(work)


def delete_many(database: Database, order_ids: Iterable[str]) -> int:
    """Delete those of these orders that have ended, with their history; how many.

    Unknown orders and those that have not ended are passed over. Raises `DatabaseAway`.
    """
    given = list(order_ids)
    return database.write(lambda transaction: delete_in(transaction, given)) if given else 0


def delete_in(transaction: Transaction, order_ids: Sequence[str]) -> int:
    """The same within a transaction."""
    ended = _lock_many(transaction, LOCK_ENDED, order_ids)
    return _delete(transaction, list(ended)) if ended else 0


def pause(database: Database, queue: str = ALL_QUEUES, paused_by: str = "") -> None:
    """Stop all claims from a queue, or from every one, those under way included.

    `paused_by` is who asked, '' for nobody in particular. Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> None:
        transaction.run(PAUSE, {"name": queue, "paused_by": paused_by})
        note(transaction, "queue_paused", queue=queue)

    database.write(work)
    wait_for_claims(database)


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


def _lock_many(transaction: Transaction, lock: Sql, order_ids: Sequence[str]) -> dict[str, str]:
    """The status of each order that `lock` finds movable, sorted by id."""
    rows = transaction.rows(lock, {"ids": transaction.ids(order_ids)})
    return dict(sorted((text_id(order_id), status) for order_id, status in rows))


def _cancelled(
    transaction: Transaction, before: Mapping[str, str], rows: Iterable[Row]
) -> list[OrderRow]:
    """Note what was cancelled; the orders, sorted by id."""
    orders = sorted(map(order_row, rows))
    record = Record()
    for order in orders:
        # A run that was cut short counts towards the times of runs like any other ending.
        record.move(order.queue, order.type, before[order.id], CANCELLED, order.run_ms)
    ids = [order.id for order in orders]
    if len(orders) == 1:
        record.event("cancelled", ids, orders[0].manager, before=before[ids[0]])
    else:
        managers = [order.manager for order in orders]
        record.event("cancelled", ids, managers=managers, before=[before[one] for one in ids])
    record.write(transaction)
    told = [order.id for order in orders if order.callback_url is not None]
    if told:
        call_back(transaction, told)
    return orders


def _delete(transaction: Transaction, order_ids: Sequence[str]) -> int:
    ids = {"ids": transaction.ids(order_ids)}
    gone = transaction.rows(DELETE, ids)
    transaction.run(DELETE_ATTEMPTS, ids)
    delete_lines(transaction, ids["ids"])
    record = Record()
    for _, queue, kind, status in gone:
        record.move(queue, kind, status, NOTHING)
    record.event("deleted", sorted(text_id(row[0]) for row in gone))
    record.write(transaction)
    return len(gone)


def keep_attempt(transaction: Transaction, order: OrderRow) -> None:
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

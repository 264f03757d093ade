"""Orders in any state, made by the moves that lead there, so that no test has an impossible row."""

from __future__ import annotations

from typing import Any

import ledger
from database import Database, Sql, Transaction
from ledger import Claimed, Ending, Lane, NewOrder, OrderRow, Request
from models import CANCELLED, COMPLETED, FAILED, PENDING, PRIORITIES, RETRIEVED

MANAGER = "test-manager"
AGE_ORDER = Sql("UPDATE job_order SET last_updated = last_updated - 3600000 WHERE id = :id")
AGE_HOLDER = Sql("""
    UPDATE manager SET last_beat = last_beat - 3600000
    WHERE id = (SELECT manager FROM job_order WHERE id = :id)""")
EVERY_LANE = [Lane("default", priority) for priority in PRIORITIES.values()]


def new_order(**columns: Any) -> NewOrder:
    """An order that was not submitted yet."""
    given = {"id": ledger.new_id(), "type": "add", "payload": '{"num1":1,"num2":2}'}
    return NewOrder(**(given | columns))


def submit(database: Database, **columns: Any) -> str:
    """Submit one order; its id."""
    return ledger.submit(database, [Request([new_order(**columns)])])[0].ids[0]


def claim(database: Database, manager: str = MANAGER, free: int = 1) -> list[Claimed]:
    """Claim from the default queue."""
    return ledger.claim(database, manager, EVERY_LANE, free)


def ending(order: Claimed, to: str = COMPLETED, **fields: Any) -> Ending:
    """How a holder would let go of this order."""
    given: dict[str, Any] = {
        "outcome": {COMPLETED: "succeeded"}.get(to, "error"),
        "worker": f"{MANAGER}/1",
        "run_ms": 5,
        "age_ms": 7,
    }
    if to == COMPLETED:
        given["result"] = "3"
    else:
        given["error"] = '{"type":"ValueError","message":"wrong"}'
    return Ending(
        order.id, order.lease, order.type, order.queue, order.attempts, to, **(given | fields)
    )


def order_in(database: Database, status: str, **columns: Any) -> OrderRow:
    """An order that stands in this status; the database must hold no other pending order."""
    order_id = submit(database, **columns)
    if status == PENDING:
        return ledger.find(database, order_id)
    if status == CANCELLED:
        return ledger.cancel(database, order_id)
    queue = columns.get("queue", "default")
    lanes = [Lane(queue, priority) for priority in PRIORITIES.values()]
    (claimed,) = ledger.claim(database, MANAGER, lanes, 1)
    assert claimed.id == order_id, "another order was pending"
    if status in (COMPLETED, RETRIEVED, FAILED):
        to = FAILED if status == FAILED else COMPLETED
        assert ledger.finish(database, MANAGER, [ending(claimed, to)]) == []
    if status == RETRIEVED:
        assert ledger.retrieve(database, order_id)
    found = ledger.find(database, order_id)
    assert found.status == status
    return found


def make_stale(database: Database, order_id: str) -> None:
    """Let an order's last sign of life lie an hour back, and that of who holds it."""
    key = {"id": database.key(order_id)}

    def work(transaction: Transaction) -> None:
        transaction.run(AGE_ORDER, key)
        transaction.run(AGE_HOLDER, key)

    database.write(work)

"""Managers and orders in trouble, as the tests of the reasons need them."""

from __future__ import annotations

import ledger
from database import Database, Sql
from ledger import Lane, ManagerCard
from ledger.why import Reason, explain
from models import PRIORITIES
from tests.manager.by_hand import ByHand

HEARTBEAT_MS, STALE_MS = 5_000, 30_000

SILENT = Sql("UPDATE manager SET last_beat = last_beat - :ms WHERE id = :id")
UNTOUCHED = Sql("UPDATE job_order SET last_updated = last_updated - :ms WHERE id = :id")
WAITED = Sql(
    "UPDATE job_order SET run_at = run_at - :ms, created_on = created_on - :ms WHERE id = :id"
)
BEGAN = Sql("UPDATE job_order SET started_on = started_on - :ms WHERE id = :id")
FORGET = Sql("DELETE FROM manager WHERE id = :id")


def manager(
    database: Database,
    name: str = "m1",
    *,
    slots: int = 4,
    queues: str | None = None,
    types: str | None = None,
    state: str = "running",
) -> None:
    """A manager that has just given a sign of life."""
    card = ManagerCard(
        name, "host", 1, "1", "database", slots, queues, HEARTBEAT_MS, STALE_MS, types=types
    )
    ledger.register(database, card)
    ledger.renew(database, name, [], state)


def claimed_by(database: Database, name: str, free: int = 1, queue: str = "default") -> list[str]:
    """What this manager claims, by id."""
    lanes = [Lane(queue, priority) for priority in PRIORITIES.values()]
    return [order.id for order in ledger.claim(database, name, lanes, free)]


def worked_off(database: Database, name: str = "m1") -> ByHand:
    """A manager that has claimed, run and written once."""
    hand = ByHand(database, name=name)
    hand.work_off()
    return hand


def silence(database: Database, name: str, ms: int) -> None:
    """Let a manager's last sign of life lie back."""
    database.write(lambda tx: tx.run(SILENT, {"id": name, "ms": ms}))


def backdate(database: Database, statement: Sql, order_id: str, ms: int) -> None:
    """Move a time of an order's row back."""
    key = {"id": database.key(order_id), "ms": ms}
    database.write(lambda tx: tx.run(statement, key))


def codes(database: Database, order_id: str) -> list[str]:
    """The reasons, in their order."""
    return [one.code for one in explain(database, order_id).reasons]


def told(database: Database, order_id: str, code: str) -> Reason:
    """The one reason of this code."""
    (found,) = (one for one in explain(database, order_id).reasons if one.code == code)
    assert found.message
    assert found.remedy
    return found

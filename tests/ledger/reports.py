"""Reports of holders, as the tests of finishing make them, and what may have come before them."""

from __future__ import annotations

from typing import Any

import ledger
from database import Database
from ledger import Claimed, Ending
from models import PENDING
from tests.factories import MANAGER, claim, ending, make_stale, new_order
from tests.ledger import evidence

LATE = "late_result_discarded"
WORKER = f"{MANAGER}/1"
WRONG = '{"type":"ValueError","message":"wrong"}'


def held(database: Database, count: int = 1, **columns: Any) -> list[Claimed]:
    """That many orders, claimed."""
    orders = [new_order(**columns) for _ in range(count)]
    ledger.submit(database, [ledger.Request(orders)])
    return claim(database, free=count)


def hand_back(order: Claimed, **fields: Any) -> Ending:
    plain = {"outcome": "handed_back", "error": None, "run_ms": None, "age_ms": None}
    return ending(order, PENDING, uncounted=True, kind="handed_back", **(plain | fields))


def finish(database: Database, *endings: Ending, repeated: bool = False) -> list[Ending]:
    return ledger.finish(database, MANAGER, endings, repeated=repeated)


def statuses(database: Database, orders: list[Claimed]) -> list[str]:
    return [ledger.find(database, order.id).status for order in orders]


def trace(database: Database) -> tuple[object, ...]:
    """All that a report may change, but for events."""
    return evidence.orders(database), evidence.attempts(database), evidence.tallies(database)


def cancelled(database: Database, order: Claimed) -> None:
    ledger.cancel(database, order.id)


def deleted(database: Database, order: Claimed) -> None:
    ledger.cancel(database, order.id)
    ledger.delete(database, order.id)


def rescued(database: Database, order: Claimed) -> None:
    make_stale(database, order.id)
    assert [found.id for found in ledger.rescue(database, 1000)] == [order.id]


def taken_over(database: Database, order: Claimed) -> None:
    rescued(database, order)
    evidence.waited(database, order.id, 60_000)
    assert claim(database, "another")[0].lease == order.lease + 1


def ended(database: Database, order: Claimed) -> None:
    assert finish(database, ending(order)) == []

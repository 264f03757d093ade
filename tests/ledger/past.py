"""Orders, events and keys of long ago."""

from __future__ import annotations

from typing import Any

import ledger
from database import Database, Sql
from models import CANCELLED, COMPLETED, ENDED, FAILED, PRIORITIES, RETRIEVED
from tests.factories import MANAGER, ending, new_order
from tests.ledger.timetable import now

HOUR = 3_600_000
AGED = Sql("""
    UPDATE job_order SET created_on = created_on - :ms, completed_on = completed_on - :ms,
        last_updated = last_updated - :ms WHERE id {among}""")
EVENTS_AGED = Sql("UPDATE event SET at = at - :ms")
KEYS_AGED = Sql("UPDATE idempotency SET created_on = created_on - :ms")


def id_at(milliseconds: int) -> str:
    """A new id as if it had been made then."""
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}{ledger.new_id()[13:]}"


def submitted(database: Database, count: int = 1, hours: float = 0, **columns: Any) -> list[str]:
    """So many orders that were submitted so long ago."""
    ms = round(hours * HOUR)
    moment = now(database) - ms
    orders = [new_order(id=id_at(moment), **columns) for _ in range(count)]
    ids = ledger.submit(database, [ledger.Request(orders)])[0].ids
    aged(database, ids, hours)
    return ids


def aged(database: Database, ids: list[str], hours: float) -> None:
    """Let all that happened to these orders have happened so much earlier."""
    key = {"ids": database.ids(ids), "ms": round(hours * HOUR)}
    database.write(lambda tx: tx.run(AGED, key))


def ended(
    database: Database,
    status: str,
    count: int = 1,
    hours: float = 0,
    made: float | None = None,
    **columns: Any,
) -> list[str]:
    """So many orders that ended so long ago, in this status, and were made then or earlier.

    Nothing else may be pending in their queue.
    """
    ids = submitted(database, count, hours if made is None else made, **columns)
    if status == CANCELLED:
        ledger.cancel_many(database, ids)
    else:
        lanes = [ledger.Lane(columns.get("queue", "default"), nth) for nth in PRIORITIES.values()]
        claimed = ledger.claim(database, MANAGER, lanes, count)
        assert sorted(order.id for order in claimed) == sorted(ids), "others were pending"
        to = FAILED if status == FAILED else COMPLETED
        ledger.finish(database, MANAGER, [ending(order, to) for order in claimed])
    if status == RETRIEVED:
        for order_id in ids:
            ledger.retrieve(database, order_id)
    aged(database, ids, hours)
    return ids


def one_of_each(database: Database, hours: float) -> list[str]:
    """An order in each of the states in which orders end, since so long."""
    return [ended(database, status, hours=hours)[0] for status in ENDED]


def events_aged(database: Database, hours: float) -> None:
    """Let all events so far have happened so much earlier."""
    database.write(lambda tx: tx.run(EVENTS_AGED, {"ms": round(hours * HOUR)}))


def keys_aged(database: Database, hours: float) -> None:
    """The same for all idempotency keys."""
    database.write(lambda tx: tx.run(KEYS_AGED, {"ms": round(hours * HOUR)}))

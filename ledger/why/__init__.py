"""Every reason why an order does not run or end, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass

from database import Database
from ledger.why.circumstances import Circumstances, gather, is_locked
from ledger.why.ended import over
from ledger.why.holding import in_hand
from ledger.why.reason import Moment, Reason
from ledger.why.waiting import SOON_MS, beside, due, waiting
from models import PENDING, WIP


@dataclass(frozen=True, slots=True)
class Why:
    """The reasons, the most decisive first, as of `checked_on` (ms) by the database's clock."""

    order_id: str
    status: str
    checked_on: int
    reasons: list[Reason]


def explain(database: Database, order_id: str) -> Why:
    """Why the order does not run, or has not ended, or why it has.

    Reads only, a bounded number of rows. Raises `UnknownOrder`, `DatabaseAway`.
    """
    found = gather(database, order_id)
    status = found.order.status
    if status == PENDING:
        reasons = _pending(database, found)
    else:
        reasons = in_hand(found) if status == WIP else over(found)
    return Why(order_id, status, found.now, reasons)


def _pending(database: Database, found: Circumstances) -> list[Reason]:
    reasons = waiting(found)
    if not reasons:
        overdue = found.now - found.due_on >= SOON_MS
        reasons.append(due(found, locked=overdue and is_locked(database, found.order.id)))
    return [*reasons, *beside(found)]


__all__ = ["Moment", "Reason", "Why", "explain"]

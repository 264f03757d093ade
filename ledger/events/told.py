"""What an order's own row and its attempts tell of its life."""

from __future__ import annotations

from typing import NamedTuple

from database import Database
from ledger.events.item import EventItem
from ledger.orders import OrderRow, UnknownOrder
from ledger.steer import PastAttempt, find, history
from models import CANCELLED, COMPLETED, FAILED, RETRIEVED, WIP

# Moments of one lease, in their order.
_LEASE_RANKS = 4


class Story(NamedTuple):
    """What the row tells, newest first; and near which moments (ms) rarer events must be.

    `begin` is when it began. `moments` are the spans, newest first, None for an order that is gone:
    nobody knows.
    """

    items: list[EventItem]
    begin: int
    moments: list[tuple[int, int]] | None


def story(database: Database, order_id: str) -> Story:
    """What is told of an order, also of one that was deleted. Raises `DatabaseAway`."""
    try:
        row = find(database, order_id)
    except UnknownOrder:
        # Its id was made when it was submitted, by the clock of a web host.
        return Story([], int(order_id.replace("-", "")[:12], 16), None)
    past = history(database, order_id)
    items = sorted(_items(row, past), key=lambda item: (item.at, item.rank), reverse=True)
    return Story(items, row.created_on, _moments(row, past))


def _items(row: OrderRow, past: list[PastAttempt]) -> list[EventItem]:
    def item(at: int, kind: str, rank: int, attempt: PastAttempt | OrderRow | None) -> EventItem:
        lease = attempt.lease if attempt else 0
        number = None
        if attempt is not None:
            number = attempt.number if isinstance(attempt, PastAttempt) else attempt.attempts
        return EventItem(
            row=0,
            place=0,
            at=at,
            kind=kind,
            order_id=row.id,
            manager=attempt.manager if attempt else None,
            worker=attempt.worker if attempt else None,
            data={"attempt": number, "lease": lease} if attempt else {},
            rank=_LEASE_RANKS * lease + rank,
        )

    items = [item(row.created_on, "submitted", 0, None)]
    # By how long it ran an attempt may seem to have begun a little before it was claimed.
    latest = row.created_on
    for one in past:
        if one.started_on is not None:
            items.append(item(max(one.started_on, latest), "claimed", 1, one))
        latest = one.ended_on
    if row.manager is not None and row.started_on is not None:
        items.append(item(max(row.started_on, latest), "claimed", 1, row))
    elif row.status == WIP:
        items.append(item(row.last_updated, "claimed", 1, row))
    if row.status in (COMPLETED, RETRIEVED) and row.completed_on is not None:
        items.append(item(row.completed_on, "completed", 2, row))
    if row.retrieved_on is not None:
        items.append(item(row.retrieved_on, "retrieved", 3, row))
    return items


def _moments(row: OrderRow, past: list[PastAttempt]) -> list[tuple[int, int]]:
    """The spans in which something else may have happened, newest first."""
    spans = [(row.created_on, row.created_on), (row.last_updated, row.last_updated)]
    ended, lease, outcome = row.created_on, 0, ""
    for one in past:
        # A lease that left no attempt was handed back; a failed or cancelled one was retried.
        if one.lease > lease + 1 or outcome in (FAILED, CANCELLED):
            spans.append((ended, one.started_on or one.ended_on))
        spans.append((one.ended_on, one.ended_on))
        ended, lease, outcome = one.ended_on, one.lease, one.outcome
    if row.lease > lease + 1 or outcome in (FAILED, CANCELLED):
        spans.append((ended, row.started_on or row.last_updated))
    if row.completed_on is not None:
        spans.append((row.completed_on, row.completed_on))
    return sorted(spans, reverse=True)

"""The history of events, newest first: rows are read in bounded steps and unfolded.

What happened to one order is told by its row and its attempts, and by the rarer events, which have
an index of their own: the daily life of all orders (`COMMON`) is never searched for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from database import Database, Sql
from ledger.events import told
from ledger.events.item import COMMON, NEVER, EventItem, Position, Wanted
from ledger.events.stretches import NEWEST, Stretch, where_to_look
from ledger.events.walk import WINDOW_ROWS, Walk
from ledger.ids import text_id

TYPES = Sql("SELECT id, type, owner FROM job_order WHERE id {among}")


@dataclass(slots=True)
class EventPage:
    """One page; `position` is where the next goes on, `searched_to` (ms) where a search gave up."""

    items: list[EventItem] = field(default_factory=list)
    position: Position | None = None
    searched_to: int | None = None


def find_events(
    database: Database, wanted: Wanted, limit: int, after: Position | None = None
) -> EventPage:
    """The newest `limit` events that are wanted, from behind `after`.

    Looks at no more than 10,000 rows, for no longer than 40 ms. Raises `DatabaseAway`.
    """
    with database.session():
        if wanted.order_id is None:
            page = _feed(database, wanted, limit, after)
        else:
            page = _of_order(database, wanted, wanted.order_id, limit, after)
        page.items = with_types(database, page.items)
    return page


def _feed(database: Database, wanted: Wanted, limit: int, after: Position | None) -> EventPage:
    rarely = bool(wanted.kinds) and not set(wanted.kinds) & set(COMMON)
    walk = Walk(database, wanted, rarely, after)
    items = walk.take(Stretch(0, NEWEST), limit + 1)
    if len(items) > limit:
        last = items[limit - 1]
        return EventPage(items[:limit], Position(last.row, last.place))
    if walk.stopped is not None:
        return EventPage(items, Position(walk.high), walk.stopped)
    return EventPage(items)


def _of_order(
    database: Database, wanted: Wanted, order_id: str, limit: int, after: Position | None
) -> EventPage:
    story = told.story(database, order_id)
    start = after or Position(NEWEST)
    own = [
        item
        for item in story.items
        if (item.at, item.rank) < (start.at, start.rank) and wanted.lets_through(item)
    ]
    walk = Walk(database, wanted, True, after)
    where = where_to_look(database, story.begin, story.moments, start.at, WINDOW_ROWS)
    found = walk.take_all(where, limit + 1) if wanted.may_be_rare else []
    if walk.stopped is not None:
        own = [item for item in own if item.at > walk.stopped]
    return _merged(found, own, limit, start, walk)


def _merged(
    found: list[EventItem], own: list[EventItem], limit: int, start: Position, walk: Walk
) -> EventPage:
    """Both, the newest first; each goes on behind the last of its own that was shown."""
    shown: list[EventItem] = []
    position, nth, mth = start, 0, 0
    while len(shown) < limit and (nth < len(found) or mth < len(own)):
        if mth == len(own) or (nth < len(found) and found[nth].at >= own[mth].at):
            shown.append(found[nth])
            position = position._replace(row=found[nth].row, place=found[nth].place)
            nth += 1
        else:
            shown.append(own[mth])
            position = position._replace(at=own[mth].at, rank=own[mth].rank)
            mth += 1
    if nth < len(found) or mth < len(own):
        return EventPage(shown, position)
    if walk.stopped is not None:
        return EventPage(shown, Position(walk.high, 0, walk.stopped, NEVER), walk.stopped)
    return EventPage(shown)


def with_types(database: Database, items: list[EventItem]) -> list[EventItem]:
    """The same with the types and owners of their orders. Raises `DatabaseAway`."""
    ids = {item.order_id for item in items if item.order_id is not None}
    if not ids:
        return items
    rows = database.read(TYPES, {"ids": database.ids(sorted(ids))})
    known = {text_id(order_id): (name, owner) for order_id, name, owner in rows}
    found = (known.get(item.order_id or "", (None, None)) for item in items)
    return [
        item._replace(type=name, owner=owner)
        for item, (name, owner) in zip(items, found, strict=True)
    ]


__all__ = ["EventItem", "EventPage", "Position", "Wanted", "find_events", "with_types"]

"""The events in the order of their commits, for readers that must miss none and repeat none.

On PostgreSQL a row with a lower id may become visible after one with a higher: so rows are read by
the transaction that wrote them, and only those of transactions below the oldest that still runs,
to which nothing can be added any more. SQLite has one writer, who numbers in the order of commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from database import Database, Row, Sql
from ledger.events import with_types
from ledger.events.item import ANY_PLACE, BY_ID, EventItem, unfold

# Behind all that a row stands for.
WHOLE = ANY_PLACE

# So many rows are fetched at once, and no row behind so many items: rows may be large.
MOST_ROWS = 200

_LAST_SQLITE = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)"
_LAST_POSTGRES = "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM event_id_seq)"
_CEILING = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"

NOW = Sql(
    sqlite=f"SELECT 0, {_LAST_SQLITE}",
    postgres=f"SELECT {_CEILING} - 1, {_LAST_POSTGRES}",
)

_COLUMNS = "id, at, kind, n, orders, manager, data"
_NEXT = f"""
    SELECT xid, {_COLUMNS} FROM (
        SELECT xid, {_COLUMNS}, sum(CASE WHEN n > 0 THEN n ELSE 1 END) OVER (ORDER BY xid, id)
            - CASE WHEN n > 0 THEN n ELSE 1 END AS ahead
        FROM ({{rows}} LIMIT {MOST_ROWS}) AS next
    ) AS counted WHERE ahead < :most ORDER BY xid, id"""
NEXT = Sql(
    sqlite=_NEXT.format(
        rows=f"SELECT 0 AS xid, {_COLUMNS} FROM {BY_ID} WHERE id > :row AND :xid = 0 ORDER BY id"
    ),
    postgres=_NEXT.format(
        rows=f"""SELECT xid, {_COLUMNS} FROM event
            WHERE (xid, id) > (CAST(:xid AS bigint), CAST(:row AS bigint)) AND xid < {_CEILING}
            ORDER BY xid, id"""
    ),
)

# Retention deletes from the lowest id on: while the next of a row is there, or was not given out
# yet, nothing behind that row was deleted. What lies ahead of us was not read here.
_REACHES = """
    SELECT 1 WHERE {known} AND :row <= {last}
        AND (:row = {last} OR EXISTS (SELECT 1 FROM {event} WHERE id <= :row + 1))"""
REACHES = Sql(
    sqlite=_REACHES.format(known=":xid = 0", last=_LAST_SQLITE, event=BY_ID),
    postgres=_REACHES.format(
        known=f"CAST(:xid AS bigint) < {_CEILING}", last=_LAST_POSTGRES, event="event"
    ).replace(":row", "CAST(:row AS bigint)"),
)


class Place(NamedTuple):
    """Behind which item of the stream somebody is; places are in the order of the stream."""

    xid: int
    row: int
    place: int = WHOLE


class News(NamedTuple):
    """The next items, each with its place; behind which to go on, and whether there may be more."""

    items: list[tuple[Place, EventItem]]
    reached: Place
    more: bool


def stream_now(database: Database) -> Place:
    """The place behind which is all that commits from now on. Raises `DatabaseAway`."""
    xid, row = database.read(NOW)[0]
    return Place(int(xid), int(row))


def reaches_back(database: Database, place: Place) -> bool:
    """Whether all that came behind this place is still there. Raises `DatabaseAway`."""
    return bool(database.read(REACHES, {"xid": place.xid, "row": place.row}))


def read_on(database: Database, after: Place, most: int) -> News:
    """The next items behind a place, about `most` of them or fewer; none when there are no more.

    Raises `DatabaseAway`.
    """
    # A row that was not read to its end is the first to be read again.
    row, had = (after.row, 0) if after.place == WHOLE else (after.row - 1, after.place + 1)
    with database.session():
        rows = database.read(NEXT, {"xid": after.xid, "row": row, "most": most + had})
        items: list[tuple[Place, EventItem]] = []
        reached, more = after, len(rows) == MOST_ROWS
        for xid, *columns in rows:
            room = most - len(items)
            if room <= 0:
                more = True
                break
            behind = had - 1 if columns[0] == after.row else -1
            found, is_whole = _ascending(tuple(columns), behind, room)
            items += [(Place(xid, item.row, item.place), item) for item in found]
            reached = Place(xid, columns[0]) if is_whole else items[-1][0]
            more = more or not is_whole
        more = more or len(items) >= most
        typed = with_types(database, [item for _, item in items])
    told = [(place, item) for (place, _), item in zip(items, typed, strict=True)]
    return News(told, reached, more)


def _ascending(row: Row, behind: int, most: int) -> tuple[list[EventItem], bool]:
    """The items of a row behind a place, the first first; and whether these are all."""
    last = next(unfold(row)).place
    below = min(behind + 1 + most, last + 1)
    backwards: Iterator[EventItem] = takewhile(lambda i: i.place > behind, unfold(row, below))
    return list(backwards)[::-1], below > last

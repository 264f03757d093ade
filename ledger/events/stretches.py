"""Which stretches of the event table may hold what happened to an order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from database import Database, Sql
from ledger.events.item import BY_ID, BY_RARE, RARE

# Above every id of an event.
NEWEST: Final = 2**62

# An event carries the time of its statement; rows follow it but for what clocks and commits differ.
SLACK_MS = 15_000

_AT_OR_BELOW = "SELECT id, at FROM {} WHERE id <= :id ORDER BY id DESC LIMIT 1"
_BEYOND = "SELECT id FROM {} WHERE id >= :low AND {} ORDER BY id LIMIT 1 OFFSET :most"
_ENDS = "SELECT (SELECT min(id) FROM {0}), (SELECT max(id) FROM {0})"
AT_OR_BELOW = Sql(sqlite=_AT_OR_BELOW.format(BY_ID), postgres=_AT_OR_BELOW.format("event"))
BEYOND = Sql(sqlite=_BEYOND.format(BY_RARE, RARE), postgres=_BEYOND.format("event", RARE))
ENDS = Sql(sqlite=_ENDS.format(BY_ID), postgres=_ENDS.format("event"))


class Stretch(NamedTuple):
    """Rows from the id `low` up to below the id `high`: nothing before `since` (ms)."""

    low: int
    high: int
    since: int = 0


def where_to_look(
    database: Database,
    begin: int,
    moments: Sequence[tuple[int, int]] | None,
    until: int,
    most: int,
) -> Iterator[Stretch]:
    """Where to look, newest first: all since `begin` (ms) if that is no more than `most` rows of
    the rarer kinds, else near these moments; all since then in any case when there are none.

    All after `until` (ms) has been seen.

    Raises `DatabaseAway`.
    """
    whole = Stretch(row_at(database, begin - SLACK_MS), NEWEST, begin)
    if moments is None or _is_small(database, whole, most):
        yield whole
        return
    for since, end in _joined(moments):
        if since - 2 * SLACK_MS <= until:
            low, high = (row_at(database, at) for at in (since - SLACK_MS, end + SLACK_MS))
            yield Stretch(low, high, since)


def _joined(moments: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans without overlap, newest first."""
    current: tuple[int, int] | None = None
    for since, until in sorted(moments, key=lambda span: span[1], reverse=True):
        if current is not None and until + 2 * SLACK_MS >= current[0]:
            current = (min(since, current[0]), current[1])
            continue
        if current is not None:
            yield current
        current = (since, until)
    if current is not None:
        yield current


def _is_small(database: Database, stretch: Stretch, most: int) -> bool:
    return not database.read(BEYOND, {"low": stretch.low, "most": most})


def row_at(database: Database, moment: int) -> int:
    """The least id of about this time on: found by halving, since rows are in the order of time."""
    first, last = database.read(ENDS)[0]
    if first is None:
        return 0
    low, high = int(first), int(last) + 1
    while low < high:
        middle = (low + high) // 2
        found = database.read(AT_OR_BELOW, {"id": middle})
        if not found or found[0][1] < moment:  # none: deleted meanwhile
            low = middle + 1
        else:
            high = found[0][0]
    return low

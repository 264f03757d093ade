"""Reads of orders that are not the ledger's: the list, and what the committer and waiter ask.

The list is newest first, which is the order of the ids. An indexed filter seeks; any other looks
at a bounded stretch of the newest orders and says how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from api.selection import Selection, id_time
from database import Database, Sql
from ledger import OrderRow
from ledger.ids import text_id
from ledger.matching import CLOCK_SLACK_MS, NEWEST, OLDEST, Filter, id_at
from models import CANCELLED, FAILED, PENDING, WIP

WINDOW_ROWS = 10_000
WINDOW_SECONDS = 0.040
FIRST_STEP = 128
MOST_COUNTED = 10_000

# What a page reads at most to find `q`, because it reads whole payloads.
SEARCH_ROWS = 100

CREATED = Sql("SELECT id, created_on, run_at FROM job_order WHERE id {among}")

UNFINISHED = Sql("SELECT id FROM job_order WHERE id {among} AND completed_on IS NULL")


@dataclass(slots=True)
class Page:
    """One page; `next_id` is where the next begins, `searched_to` (ms) where a search gave up."""

    rows: list[OrderRow] = field(default_factory=list)
    next_id: str | None = None
    searched_to: int | None = None


def created(database: Database, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """When each of these orders was created and is due, in ms. Raises `DatabaseAway`."""
    rows = database.read(CREATED, {"ids": database.ids(ids)})
    return {text_id(row[0]): (row[1], row[2]) for row in rows}


def unfinished(database: Database, ids: Sequence[str]) -> set[str]:
    """Those of these orders that exist and have not ended. Raises `DatabaseAway`."""
    return {text_id(row[0]) for row in database.read(UNFINISHED, {"ids": database.ids(ids)})}


def find_page(database: Database, wanted: Filter, limit: int, before: str | None) -> Page:
    """The newest `limit` orders that match, older than the id `before`. Raises `DatabaseAway`."""
    high, low = _range(wanted)
    high = min(high, before or NEWEST)
    selection = Selection(database, wanted)
    with database.session():
        found = _seek(selection, wanted, limit, high, low)
        if found is None:
            return _window(selection, wanted, limit, high, low)
    return _page(found, limit)


class Count(NamedTuple):
    """How many orders match; at least so many when a bound was reached first."""

    n: int
    is_least: bool


def count(database: Database, wanted: Filter) -> Count:
    """How many orders match, counted to `MOST_COUNTED`. Raises `DatabaseAway`."""
    high, low = _range(wanted)
    selection = Selection(database, wanted)
    most = MOST_COUNTED + 1
    with database.session():
        found: int | None = None
        if wanted.q is None and not wanted.is_narrow and not wanted.status:
            found = selection.count(high, low, most)
        elif wanted.q is None and wanted.status and _are_indexed(selection, wanted):
            found = sum(selection.count(high, low, most, status) for status in wanted.status)
        if found is not None:
            return Count(min(found, MOST_COUNTED), found > MOST_COUNTED)
        return _count_window(selection, high, low)


def _are_indexed(selection: Selection, wanted: Filter) -> bool:
    """Whether an index leads to these orders, and few that do not match stand in it."""
    return all(
        not wanted.is_narrow
        if status in (FAILED, CANCELLED)
        else status in (PENDING, WIP) and selection.are_few(status, WINDOW_ROWS)
        for status in wanted.status
    )


def _count_window(selection: Selection, high: str, low: str) -> Count:
    """Count among the newest orders until rows or time are used up."""
    begin = time.monotonic()
    found = seen = 0
    while True:
        end = selection.nth_id(high, low, FIRST_STEP)
        found += selection.count_matching(high, end or low)
        if end is None:
            return Count(found, is_least=False)
        high = end
        seen += FIRST_STEP
        if seen >= WINDOW_ROWS or time.monotonic() - begin >= WINDOW_SECONDS:
            return Count(found, is_least=True)


def _range(wanted: Filter) -> tuple[str, str]:
    """Between which ids, the first left out, orders can match."""
    high, low = NEWEST, OLDEST
    if wanted.created_before is not None:
        high = id_at(wanted.created_before + CLOCK_SLACK_MS)
    if wanted.created_after is not None:
        low = id_at(wanted.created_after - CLOCK_SLACK_MS)
    return high, low


def _page(rows: list[OrderRow], limit: int) -> Page:
    more = len(rows) > limit
    return Page(rows[:limit], rows[limit - 1].id if more else None)


def _seek(
    selection: Selection, wanted: Filter, limit: int, high: str, low: str
) -> list[OrderRow] | None:
    """One more than a page by an index, or None when none leads to these orders."""
    if wanted.q is not None:
        return None
    if not wanted.status:
        return None if wanted.is_narrow else selection.rows(high, low, limit + 1)
    found: list[OrderRow] = []
    for status in wanted.status:
        if status in (FAILED, CANCELLED) and not wanted.is_narrow:
            found += selection.unhappy_rows(status, high, low, limit + 1)
        elif status in (PENDING, WIP) and selection.are_few(status, WINDOW_ROWS):
            found += selection.live_rows(status, high, low, limit + 1)
        else:
            return None
    return sorted(found, key=lambda row: row.id, reverse=True)


def _window(selection: Selection, wanted: Filter, limit: int, high: str, low: str) -> Page:
    """Look at the newest orders in growing steps, until page, rows or time are used up."""
    begin = time.monotonic()
    at_once = limit + 1 if wanted.q is None else min(limit + 1, SEARCH_ROWS)
    rows: list[OrderRow] = []
    seen, step = 0, FIRST_STEP
    while True:
        end = selection.nth_id(high, low, step)
        last, found = selection.matching(high, end or low, at_once)
        rows += found
        if len(rows) > limit:
            return _page(rows, limit)
        if last is None and end is None:
            return Page(rows)
        high = last or end or low
        seen += step
        spent = time.monotonic() - begin
        if seen >= WINDOW_ROWS or spent >= WINDOW_SECONDS:
            return Page(rows, high, id_time(high))
        affordable = int(seen / max(spent, 1e-6) * (WINDOW_SECONDS - spent))
        step = max(FIRST_STEP, min(2 * step, WINDOW_ROWS - seen, affordable))

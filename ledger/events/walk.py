"""Going down the event table in bounded steps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from database import Database, Row, Sql
from ledger.events.item import ANY_PLACE, BY_ID, BY_RARE, RARE, EventItem, Position, Wanted, unfold
from ledger.events.stretches import NEWEST, Stretch
from ledger.ids import text_id

WINDOW_ROWS = 10_000
WINDOW_SECONDS = 0.040
FIRST_STEP = 128

# Within one fetch: rows may be large, and each of their items may have to be looked up.
FETCHED_ROWS = 100
FETCHED_ITEMS = 2_000

# Rows are in the order of their clock but for what commits and clocks differ by.
CLOCK_SLACK_MS = 15_000

# The rows themselves are read in a second step, only those that are needed: they may be large.
_STEP_END = """
    SELECT id, at FROM {table} WHERE id < :high AND id >= :low{rare} ORDER BY id DESC
    LIMIT 1 OFFSET :count"""
_HEADS = """
    SELECT id, n FROM {table} WHERE id < :high AND id >= :low{rare}{where} ORDER BY id DESC
    LIMIT :most"""


def _walking(text: str, rare: bool, where: str = "") -> Sql:
    condition = f" AND {RARE}" if rare else ""
    return Sql(
        sqlite=text.format(table=BY_RARE if rare else BY_ID, rare=condition, where=where),
        postgres=text.format(table="event", rare=condition, where=where),
    )


STEP_END, STEP_END_RARE = (_walking(_STEP_END, rare) for rare in (False, True))
ROWS = Sql(
    sqlite=f"""
    SELECT id, at, kind, n, orders, manager, data FROM {BY_ID}
    WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id DESC""",
    postgres="""
    SELECT id, at, kind, n, orders, manager, data FROM event
    WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id DESC""",
)

HOLDERS = Sql("""
    SELECT id, lease, worker FROM job_order WHERE id {among}
    UNION ALL SELECT order_id, lease, worker FROM attempt WHERE order_id {among}""")


class Walk:
    """Goes down the rows in growing steps until items, rows or time are used up."""

    def __init__(
        self, database: Database, wanted: Wanted, rare: bool, after: Position | None
    ) -> None:
        self._database = database
        self._wanted = wanted
        self._after = after or Position(NEWEST)
        self.high = self._after.row + (self._after.place > 0)
        # The time at which it gave up, if it did.
        self.stopped: int | None = None
        self._begin = time.monotonic()
        self._seen, self._step = 0, FIRST_STEP
        where, self.parameters = _conditions(database, wanted)
        self._end = STEP_END_RARE if rare else STEP_END
        self.heads = _walking(_HEADS, rare, where)

    def take(self, stretch: Stretch, most: int) -> list[EventItem]:
        """So many wanted items of this stretch, which lies below all before it."""
        self.high = min(self.high, stretch.high)
        items: list[EventItem] = []
        while self.high > stretch.low:
            bounds = {"high": self.high, "low": stretch.low}
            end = self._database.read(self._end, bounds | {"count": self._step - 1})
            low, at = end[0] if end else (stretch.low, None)
            items += self._between(low, most - len(items))
            if len(items) >= most:
                break
            self.high = low
            since = self._wanted.since
            if at is None or (since is not None and at < since - CLOCK_SLACK_MS):
                break
            if self._is_used_up():
                self.stopped = at
                break
        return items

    def take_all(self, where: Iterable[Stretch], most: int) -> list[EventItem]:
        """So many wanted items of these stretches, newest first; of one at least."""
        items: list[EventItem] = []
        searched: int | None = None
        for stretch in where:
            if stretch.low >= self.high:
                continue
            if searched is not None and time.monotonic() - self._begin >= WINDOW_SECONDS:
                self.stopped = searched
                break
            items += self.take(stretch, most - len(items))
            searched = stretch.since
            if len(items) >= most or self.stopped is not None:
                break
        return items

    def _between(self, low: int, most: int) -> list[EventItem]:
        """The wanted items from `low` up to where the walk is, at most so many."""
        items: list[EventItem] = []
        high = self.high
        while len(items) < most:
            asked = min(most - len(items), FETCHED_ROWS)
            bounds = {"high": high, "low": low, "most": asked}
            heads = self._database.read(self.heads, self.parameters | bounds)
            chosen = self._enough(heads, most - len(items))
            if not chosen:
                break
            items += self._items(chosen, most - len(items))
            high = chosen[-1]
            if len(chosen) == len(heads) < asked:
                break
        return items

    def _enough(self, heads: Sequence[Row], most: int) -> list[int]:
        """The first of these rows, as many as it takes for so many items."""
        if self._wanted.order_id is not None:
            return [row for row, _ in heads]
        chosen, count = [], 0
        limit = most if self._wanted.worker is None else FETCHED_ITEMS
        for row, n in heads:
            if count >= limit:
                break
            chosen.append(row)
            count += max(n, 1)
        return chosen

    def _items(self, rows: Sequence[int], most: int) -> list[EventItem]:
        ids = json.dumps(rows) if self._database.dialect == "sqlite" else list(rows)
        unfolded = self._unfolded(self._database.read(ROWS, {"ids": ids}))
        if self._wanted.worker is None:
            chosen = _first(filter(self._wanted.lets_through, unfolded), most)
            return _with_workers(self._database, chosen)
        known = _with_workers(self._database, list(unfolded))
        return _first(filter(self._wanted.lets_through, known), most)

    def _unfolded(self, rows: Sequence[Row]) -> Iterator[EventItem]:
        for row in rows:
            below = self._after.place if row[0] == self._after.row else ANY_PLACE
            yield from unfold(row, below, self._wanted.order_id)

    def _is_used_up(self) -> bool:
        self._seen += self._step
        spent = time.monotonic() - self._begin
        if self._seen >= WINDOW_ROWS or spent >= WINDOW_SECONDS:
            return True
        affordable = int(self._seen / max(spent, 1e-6) * (WINDOW_SECONDS - spent))
        self._step = max(FIRST_STEP, min(2 * self._step, WINDOW_ROWS - self._seen, affordable))
        return False


def _conditions(database: Database, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """What lets through every row that has a wanted item, and perhaps others."""
    is_sqlite = database.dialect == "sqlite"
    find = "instr" if is_sqlite else "strpos"
    where = ""
    parameters: dict[str, Any] = {}
    if wanted.kinds:
        where += f" AND kind {_SQLITE_AMONG if is_sqlite else _POSTGRES_AMONG}"
        kinds = list(wanted.kinds)
        parameters["kinds"] = json.dumps(kinds) if is_sqlite else kinds
    if wanted.since is not None:
        where += " AND at >= :since"
        parameters["since"] = wanted.since
    if wanted.order_id is not None:
        where += _SQLITE_HAS_ORDER if is_sqlite else _POSTGRES_HAS_ORDER
        parameters["order_id"] = bytes.fromhex(wanted.order_id.replace("-", ""))
    if wanted.worker is not None:
        where += f" AND (kind = 'claimed' AND manager = :whose OR {find}(data, :worker) > 0)"
        parameters["whose"] = wanted.worker.rpartition("/")[0]
        parameters["worker"] = quote(wanted.worker)
    if wanted.manager is not None:
        where += f" AND (manager = :manager OR {find}(data, :named) > 0)"
        parameters["manager"] = wanted.manager
        parameters["named"] = quote(wanted.manager)
    return where, parameters


_SQLITE_AMONG = "IN (SELECT value FROM json_each(:kinds))"
_POSTGRES_AMONG = "= ANY(CAST(:kinds AS text[]))"
_SQLITE_HAS_ORDER = " AND instr(orders, :order_id) > 0"
_POSTGRES_HAS_ORDER = " AND position(CAST(:order_id AS bytea) IN orders) > 0"


def _with_workers(database: Database, items: list[EventItem]) -> list[EventItem]:
    """The same with the workers of claims, which are known by their leases only later."""
    ids = {item.order_id for item in items if item.kind == "claimed" and item.order_id}
    if not ids:
        return items
    rows = database.read(HOLDERS, {"ids": database.ids(sorted(ids))})
    holders = {(text_id(order_id), lease): worker for order_id, lease, worker in rows}
    return [
        item._replace(worker=holders.get((item.order_id, item.data["lease"])))
        if item.kind == "claimed" and item.order_id
        else item
        for item in items
    ]


def _first(items: Iterator[EventItem], most: int) -> list[EventItem]:
    return list(islice(items, most))

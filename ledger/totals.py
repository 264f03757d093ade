"""What the tallies add up to, for who asks often: what is over is added up once a minute.

Moves of minutes that are over stay what they are, however they are folded. Should one be committed
late after all, it is found when all is added up again.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from database import Database, Row, Sql
from ledger.tallies import NOW_MINUTE
from models import NOTHING, WIP

# The last of a minute's transactions may commit so many minutes late.
OPEN_MINUTES = 2
ANEW_SECONDS = 60.0

_SUMS = """
    SELECT {} queue, before, after, CAST(sum(n) AS BIGINT), CAST(sum(runs) AS BIGINT),
        CAST(sum(run_ms) AS BIGINT)
    FROM tally {} GROUP BY {} queue, before, after"""
_IS_OPEN = "CASE WHEN minute >= :open THEN 1 ELSE 0 END"
ALL = Sql(_SUMS.format(f"{_IS_OPEN},", "", "1,"))
OPEN = Sql(_SUMS.format("", "WHERE minute >= :open", ""))


class Moves(NamedTuple):
    """How many orders of each queue stand in each status; how many runs ended, in how many ms."""

    by_queue: dict[str, Counter[str]]
    runs: int
    run_ms: int


class Totals:
    """The levels and run times of one database; safe between threads."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._closed: list[Row] = []
        self._open = 0
        self._until = -1.0

    def moves(self) -> Moves:
        """As of now. Raises `DatabaseAway`."""
        with self._lock:
            if self._clock() >= self._until:
                present = int(self._database.read(NOW_MINUTE)[0][0])
                begin = present - OPEN_MINUTES
                rows = self._database.read(ALL, {"open": begin})
                self._closed = [row[1:] for row in rows if not row[0]]
                self._open = begin
                self._until = self._clock() + ANEW_SECONDS
                return _added([row[1:] for row in rows])
            return _added([*self._closed, *self._database.read(OPEN, {"open": self._open})])


def _added(rows: Iterable[Row]) -> Moves:
    found: dict[str, Counter[str]] = {}
    runs, run_ms = 0, 0
    for queue, before, after, n, some_runs, some_ms in rows:
        level = found.setdefault(queue, Counter())
        for status, change in ((after, int(n)), (before, -int(n))):
            if status != NOTHING:
                level[status] += change
        if after != WIP:  # of claims these are the waits
            runs += int(some_runs)
            run_ms += int(some_ms)
    return Moves(found, runs, run_ms)

"""The sampler: looks at the whole system for all, and keeps what this manager's workers use.

One manager's look at the system's state serves all: who comes after it within moments has nothing
to do. What the workers use is kept for charts: means over ten seconds for half an hour, and over a
minute for two hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from database import Database, DatabaseAway
from ledger import condition
from ledger.outages import OutageWatch
from ledger.sight import look
from ledger.totals import Totals
from ledger.usage import GRAINS, Used, keep_usage
from ledger.workers import WorkerReport, number_of

TICK_SECONDS = 1.0


class Sampler:
    """Takes one look a tick."""

    def __init__(
        self,
        database: Database,
        manager: str,
        reports: Callable[[], Mapping[str, WorkerReport]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reports` answers what each worker does and uses, as it was last seen."""
        self._database = database
        self._manager = manager
        self._reports = reports
        self._clock = clock
        self._totals = Totals(database)
        self._outage = OutageWatch(database, manager, 2 * TICK_SECONDS, clock)
        self._sums = {grain: _Sums({}, clock()) for grain in GRAINS}

    def tick(self) -> None:
        """Look once. Raises `DatabaseAway`."""
        self._add_up(self._reports())
        try:
            self._outage.over()
            self._look()
            self._keep()
        except DatabaseAway:
            self._outage.failed()
            raise

    def _look(self) -> None:
        memory, now = condition.recall(self._database)
        if condition.is_due(memory, now):
            condition.keep(self._database, memory, look(self._database, self._totals).signs)

    def _add_up(self, reports: Mapping[str, WorkerReport]) -> None:
        for sums in self._sums.values():
            for name, report in reports.items():
                seen = sums.of.setdefault(number_of(name), _Sum())
                seen.add(report.cpu, report.ram_mb)

    def _keep(self) -> None:
        now = self._clock()
        due = [grain for grain, sums in self._sums.items() if now - sums.since >= grain]
        if due:
            means = {grain: self._sums[grain].means() for grain in due}
            keep_usage(self._database, self._manager, means)
            self._sums |= {grain: _Sums({}, now) for grain in due}


class _Sum:
    """Of one worker, what was seen so far: kept as sums, since an outage may take days."""

    __slots__ = ("_cpu", "_cpus", "_looks", "_ram_mb")

    def __init__(self) -> None:
        self._cpu = self._ram_mb = 0.0
        self._cpus = self._looks = 0

    def add(self, cpu: float | None, ram_mb: float) -> None:
        self._looks += 1
        self._ram_mb += ram_mb
        if cpu is not None:
            self._cpus += 1
            self._cpu += cpu

    def mean(self) -> Used:
        cpu = round(self._cpu / self._cpus, 1) if self._cpus else None
        return Used(cpu, round(self._ram_mb / self._looks, 1))


class _Sums(NamedTuple):
    """What was seen of each worker, by number, since then."""

    of: dict[int, _Sum]
    since: float

    def means(self) -> dict[int, Used]:
        return {number: seen.mean() for number, seen in self.of.items()}

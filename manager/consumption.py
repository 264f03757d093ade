"""The consumption watchdog: a manager that beats but takes no work is no living manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import structlog

from database import Database
from ledger import Lane, waiting_queues, waits
from manager.claiming import Claiming
from manager.pool import ManageWorker
from models import PRIORITIES

LEAST_SECONDS = 5.0
SLOW_SECONDS = 1.0
# So many looks in its patience.
LOOKS = 5

log = structlog.get_logger("capataz.manager")


class ConsumptionWatchdog:
    """When work waits and slots are free for several polls, but none is taken, the loop of claims
    is built anew; when that does not help either, `give_up` is called.

    Only a loop that hangs, or takes nothing although it could, counts as such: not a database that
    is away or slow, nor a manager that was stopped itself or has outcomes to write first.
    """

    def __init__(
        self,
        database: Database,
        claiming: Claiming,
        pool: ManageWorker,
        served: Collection[str],
        patience_seconds: float,
        *,
        unwritten: Callable[[], int],
        is_steady: Callable[[float], bool],
        least_seconds: float = LEAST_SECONDS,
    ) -> None:
        """`served` are the queues that this manager serves; none given means all that there are.

        `unwritten` tells how many outcomes wait to be written, `is_steady(seconds)` whether its
        beats came through for so long.
        """
        self._database = database
        self._claiming = claiming
        self._pool = pool
        self._unwritten = unwritten
        self._is_steady = is_steady
        self._served = tuple(served)
        self.patience_seconds = max(patience_seconds, least_seconds)
        self._taken = self._excused = 0
        self._looked: float | None = None
        self._vain = 0.0
        self._rebuilt = False
        self.give_up: Callable[[], None] | None = None

    def tick(self) -> None:
        """Look once. Raises `DatabaseAway`."""
        passed = self._passed()
        if self._is_fine():
            self._vain = 0
            return
        self._vain += passed
        if self._vain < self.patience_seconds:
            return
        # From here on: asked again after as long, whatever comes of it.
        self._vain = 0
        asked = time.monotonic()
        if not self._work_waits() or time.monotonic() - asked > SLOW_SECONDS or self._is_fine():
            return
        if not self._rebuilt:
            log.error("work waits, workers are free, and none is taken: building the loop anew")
            self._rebuilt = True
            self._claiming.rebuild()
        elif self._unwritten():
            log.error("work waits and none is taken; first the outcomes must be written")
        elif self.give_up is not None:
            self.give_up()

    def _passed(self) -> float:
        """Seconds since the last look; less when this process was stopped meanwhile."""
        now = time.monotonic()
        before, self._looked = self._looked, now
        return 0 if before is None else min(now - before, 2 * self.patience_seconds / LOOKS)

    def _is_fine(self) -> bool:
        """Whether orders were taken since the last look, or none could be."""
        taken, excused = self._claiming.taken(), self._claiming.excused()
        took, could_not = taken != self._taken, excused != self._excused
        self._taken, self._excused = taken, excused
        if took:
            self._rebuilt = False
        return (
            took
            or could_not
            or not self._claiming.alive()
            or not self._pool.is_available_slot()
            or not self._is_steady(self.patience_seconds)
        )

    def _work_waits(self) -> bool:
        """Whether an order that this manager serves was due for as long as it took none."""
        names = self._served or waiting_queues(self._database)
        age = round(self.patience_seconds * 1000)
        lanes = [Lane(name, priority, age) for priority in PRIORITIES.values() for name in names]
        return waits(self._database, lanes)

"""The consumption watchdog: a manager that beats but takes no work is no living manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import structlog

from database import Database
from ledger import Lane, queues, waits
from manager.claiming import Claiming
from manager.pool import ManageWorker
from models import ALL_QUEUES, PRIORITIES

LEAST_SECONDS = 5.0

log = structlog.get_logger("capataz.manager")


class ConsumptionWatchdog:
    """When work waits and slots are free for several polls, but none is taken, the loop of claims
    is built anew; when that does not help either, `give_up` is called."""

    def __init__(
        self,
        database: Database,
        claiming: Claiming,
        pool: ManageWorker,
        served: Collection[str],
        patience_seconds: float,
        least_seconds: float = LEAST_SECONDS,
    ) -> None:
        """`served` are the queues that this manager serves; none given means all that there are."""
        self._database = database
        self._claiming = claiming
        self._pool = pool
        self._served = tuple(served)
        self.patience_seconds = max(patience_seconds, least_seconds)
        self._taken = 0
        self._since = time.monotonic()
        self._rebuilt = False
        self.give_up: Callable[[], None] | None = None

    def tick(self) -> None:
        """Look once. Raises `DatabaseAway`."""
        now = time.monotonic()
        taken = self._claiming.taken()
        if taken != self._taken:
            self._taken, self._since, self._rebuilt = taken, now, False
            return
        if not self._pool.is_available_slot():
            self._since = now
            return
        if now - self._since < self.patience_seconds:
            return
        # From here on: asked again after as long, whatever comes of it.
        self._since = now
        if not self._work_waits():
            return
        if not self._rebuilt:
            log.error("work waits, workers are free, and none is taken: building the loop anew")
            self._rebuilt = True
            self._claiming.rebuild()
        elif self.give_up is not None:
            self.give_up()

    def _work_waits(self) -> bool:
        """Whether an order that this manager serves was due for as long as it took none."""
        names = self._served or [row.name for row in queues(self._database)]
        age = round(self.patience_seconds * 1000)
        lanes = [
            Lane(name, priority, age)
            for priority in PRIORITIES.values()
            for name in names
            if name != ALL_QUEUES
        ]
        return waits(self._database, lanes)

"""The scheduler: makes the orders of schedules that are due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import structlog

from database import Database
from ledger import fires
from logs import MOST_TOLD

# How often the database is asked at most, unless a fire is due earlier; a little less than a
# second, since two ticks of half a second may take that.
LOOK_SECONDS = 0.9

log = structlog.get_logger("capataz.manager")


class Scheduler:
    """Any number of managers may fire at once; its ticks cost nothing while no fire is near."""

    def __init__(self, database: Database, manager: str, ring: Callable[[], None]) -> None:
        """`ring` is called when orders were made."""
        self._database = database
        self._manager = manager
        self._ring = ring
        self._look_at = -math.inf

    def tick(self) -> None:
        """Make all orders that are due by now. Raises `DatabaseAway`."""
        if time.monotonic() < self._look_at:
            return
        wait = fires.wait_ms(self._database)
        if wait is not None and wait <= 0:
            self._fire()
            wait = None
        ahead = LOOK_SECONDS if wait is None else min(wait / 1000, LOOK_SECONDS)
        self._look_at = time.monotonic() + ahead

    def _fire(self) -> None:
        late: list[str] = []
        while True:
            made = fires.fire(self._database, self._manager)
            if made:
                self._ring()
            late += [one.schedule for one in made if one.late]
            for one in made:
                if one.fault is not None:
                    log.error("a schedule was paused", schedule=one.schedule, reason=one.fault)
            if len(made) < fires.BATCH:
                break
        if late:
            log.warning(
                "fires were missed; each schedule made one order for the latest",
                n=len(late),
                schedules=late[:MOST_TOLD],
            )

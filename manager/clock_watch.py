"""Whether the clock that says how old signs of life are was set ahead: then all look silent."""

from __future__ import annotations

import math
import time

import structlog

from database import Database
from ledger import clock

# It is ahead by that much more than at the last look for certain, however long a look took.
LEAST_SECONDS = 1.0

log = structlog.get_logger("capataz.manager")


class ClockWatch:
    """Compares the database's clock with one that nobody sets, look by look.

    It runs ahead when it was set, and when the host slept, whose clock here does not count that.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ahead = math.inf
        self._set_on = -math.inf

    def is_steady(self, seconds: float) -> bool:
        """Look; whether it was not set ahead for so long: by then all that live have beaten
        again. Raises `DatabaseAway`."""
        before = time.monotonic()
        now = clock(self._database)
        after = time.monotonic()
        ahead = now - after - self._ahead
        self._ahead = now - before
        if ahead > LEAST_SECONDS:
            self._set_on = after
            log.warning(
                "the database's clock was set ahead; nothing is taken back for a while",
                by_seconds=round(ahead, 1),
            )
        return after - self._set_on > seconds

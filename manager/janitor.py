"""The janitor: deletes what is older than its retention, without being in anybody's way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from database import Database
from ledger import chores, retention
from ledger.retention import Sweep

CHORE = "retention"

# The part of its time that it may take, in all managers together.
SHARE = 0.1
LONGEST_PAUSE_SECONDS = 10.0
# How long one tick goes on, so that a stop never waits for it.
TICK_SECONDS = 0.9

# Who has begun a pass has it for so long, and takes it anew in good time.
HOLD_SECONDS = 60.0
KEEP_SECONDS = 20.0
LOOK_SECONDS = 15.0

# Passes begin apart by a part of the retention, within these bounds.
PASSES = 100
LEAST_SECONDS, MOST_SECONDS = 10.0, 900.0

TELL_MS = 3_600_000

log = structlog.get_logger("capataz.manager")


class Janitor:
    """One manager at a time deletes, whoever comes first when a pass is due."""

    def __init__(
        self,
        database: Database,
        manager: str,
        retention_hours: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`sleep` waits between two batches."""
        self._database = database
        self._manager = manager
        self._retention_ms = round(retention_hours * 3_600_000)
        self._sleep = sleep
        self._apart = min(max(retention_hours * 3600 / PASSES, LEAST_SECONDS), MOST_SECONDS)
        self._sweep: Sweep | None = None
        self._left: dict[str, Any] = {}
        self._kept = 0.0
        self._due = 0.0

    def tick(self) -> None:
        """Go on for about a second at most, resting most of it. Raises `DatabaseAway`."""
        began = time.monotonic()
        while (now := time.monotonic()) < began + TICK_SECONDS:
            if now < self._due:
                if self._due > began + TICK_SECONDS:
                    return
                self._sleep(self._due - now)
                continue
            if not self._holds(now):
                self._due = now + min(LOOK_SECONDS, self._apart / 2)
                return
            self._work(now)

    def _holds(self, now: float) -> bool:
        """Whether this manager has the pass, or just took it."""
        if self._sweep is not None and now - self._kept < HOLD_SECONDS:
            return True
        self._sweep = None
        left = chores.take(self._database, CHORE, self._manager, round(HOLD_SECONDS * 1000))
        if left is None:
            return False
        self._left = left
        self._kept = now
        self._sweep = Sweep(self._database, self._retention_ms, left.get("place"))
        return True

    def _work(self, now: float) -> None:
        """One step, and word of it when that is due."""
        sweep = self._sweep
        assert sweep is not None, "asked for by who has the pass"
        # Put first: a step that fails is to be paid for like any other.
        self._due = now + LEAST_SECONDS
        if sweep.step():
            if now - self._kept > KEEP_SECONDS and not self._keep(sweep, HOLD_SECONDS):
                self._sweep = None
        else:
            self._sweep = None
            self._tell(sweep)
            self._keep(sweep, self._apart)
        done = time.monotonic()
        self._due = done + min((done - now) * (1 / SHARE - 1), LONGEST_PAUSE_SECONDS)

    def _keep(self, sweep: Sweep, seconds: float) -> bool:
        """Leave word of how far the pass is, and of what was deleted since it was last told."""
        self._left["place"] = sweep.place
        self._left["deleted"] = self._deleted(sweep)
        sweep.deleted.clear()
        self._kept = time.monotonic()
        due = round(seconds * 1000)
        return chores.keep(self._database, CHORE, self._manager, due, self._left)

    def _deleted(self, sweep: Sweep) -> Counter[str]:
        return sweep.deleted + Counter(self._left.get("deleted", {}))

    def _tell(self, sweep: Sweep) -> None:
        """Say what was deleted, at most once an hour."""
        deleted = self._deleted(sweep)
        wait = self._left.get("tell_on", 0) - sweep.began
        if not deleted or 0 < wait <= TELL_MS:
            return
        retention.tell(self._database, self._manager, deleted)
        log.info("deleted what was older than its retention", **deleted)
        self._left |= {"deleted": {}, "tell_on": sweep.began + TELL_MS}
        sweep.deleted.clear()

"""The global figures: levels and flows from the tallies, never a count of the table.

Computed at most once a second for a web process. The system's state is decided by what managers
keep in the database, so that every web process tells the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import ledger
from api.presenter import plain_moment as moment
from database import Database, DatabaseAway
from ledger import condition
from ledger.outages import OutageWatch
from ledger.sight import Sight, look
from ledger.spans import span
from ledger.totals import Totals
from ledger.workers import BUSY, HUNG, IDLE, STARTING
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP

FRESH_SECONDS = 1.0
# What no manager has looked at for longer is old.
OLD_MS = 10_000


class Figures:
    """The metrics document of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._document: dict[str, Any] = {}
        self._until = 0.0
        self.outage = OutageWatch(database)
        self.totals = Totals(database)

    def document(self) -> dict[str, Any]:
        """The figures, at most a second old. Raises `DatabaseAway`."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    # The one thing that is ever written here, and after an outage only.
                    self.outage.over()
                    self._document = self._compute()
                except DatabaseAway:
                    self.outage.failed()
                    raise
                self._until = time.monotonic() + FRESH_SECONDS
            return self._document

    def _compute(self) -> dict[str, Any]:
        with self._database.session():
            memory, _ = condition.recall(self._database)
            sight = look(self._database, self.totals)
            per_minute = self._per_minute(sight.now)
        state = condition.judge(condition.remember(memory, sight.signs), sight.signs)
        by_status, now = sight.by_status, sight.now
        waits = max(0, now - sight.due_since) if sight.due_since is not None else 0
        document = {
            "systemStatus": state.status,
            "statusReason": state.reason,
            "statusSince": moment(state.since),
            "workers": {
                "active": sight.workers.get(BUSY, 0) + sight.workers.get(HUNG, 0),
                "idle": sight.workers.get(IDLE, 0) + sight.workers.get(STARTING, 0),
            },
            "tasks": {
                "pending": by_status.get(PENDING, 0),
                "inProgress": by_status.get(WIP, 0),
                "completed": by_status.get(COMPLETED, 0) + by_status.get(RETRIEVED, 0),
                "failed": by_status.get(FAILED, 0),
            },
            "total": sum(by_status.values()),
            "retrieved": by_status.get(RETRIEVED, 0),
            "cancelled": by_status.get(CANCELLED, 0),
            "averageExecutionTimeMs": sight.mean_ms,
            "uptime": _uptime([one for one in sight.managers if one.lives]),
            "oldestPendingSeconds": waits / 1000,
            "processedPerMinute": per_minute,
            "updatedOn": moment(now),
        }
        warning = _warning(sight, now - memory.sampled_on)
        if warning is not None:
            document["warning"] = warning
        return document

    def _per_minute(self, now: int) -> int:
        """Ended orders a minute, over the last whole minute and what has passed of this one."""
        processed = sum(ledger.flow(self._database, 1).values())
        return round(processed / (1 + now % 60_000 / 60_000))


def _warning(sight: Sight, unseen_ms: int) -> str | None:
    """What is to be said beside the state, if anything."""
    if not any(one.beats for one in sight.managers):
        silent = [one for one in sight.managers if one.lives]
        if not silent:
            return "no manager is beating: orders wait"
        least = min(silent, key=lambda one: one.silent_ms)
        return (
            f"no manager is beating: orders wait; the last sign of life is {span(least.silent_ms)} "
            f"old, of {least.id}"
        )
    # A manager that has just come looks within moments.
    oldest = max(map(_age, sight.managers))
    if min(unseen_ms, oldest) > OLD_MS:
        return (
            f"no manager has looked at the system's state for {span(min(unseen_ms, oldest))}: "
            "systemStatus may be late"
        )
    return None


def _age(manager: ledger.ManagerRow) -> int:
    """How long ago a manager that beats was started, else 0."""
    return manager.last_beat + manager.silent_ms - manager.started_on if manager.beats else 0


def _uptime(managers: Sequence[ledger.ManagerRow]) -> str:
    """That of the oldest living manager, as hours, minutes and seconds."""
    longest = max((m.last_beat + m.silent_ms - m.started_on for m in managers), default=0)
    minutes, seconds = divmod(longest // 1000, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"

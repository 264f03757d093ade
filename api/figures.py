"""The global figures: levels and flows from the tallies, never a count of the table.

Computed at most once a second for a web process. The system's state is only as good as what there
is to read: it remembers its causes in this process, seen whenever somebody asked for the figures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import ledger
from api.condition import Condition, Signs
from api.presenter import plain_moment as moment
from database import Database, Sql
from ledger.workers import BUSY, HUNG, IDLE, STARTING, count_workers
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP

FRESH_SECONDS = 1.0
# How far back in the event table trouble is looked for; with a look a second that is plenty.
RECENT_EVENTS = 2_000
MUCH_WORK_MS = 120_000

# An order waits from when it was made or due, whichever is later. Where the first of a lane was due
# before it was made, later ones may have waited longer: so many of them are looked at.
BACKDATED = 200

OLDEST = Sql("""
    SELECT min(since), min(CASE WHEN NOT paused THEN since END), {now} FROM (
        SELECT (q.paused_on IS NOT NULL OR EXISTS (
                SELECT 1 FROM queue AS every WHERE every.name = '*'
                AND every.paused_on IS NOT NULL)) AS paused,
            (SELECT CASE WHEN o.run_at >= o.created_on THEN o.run_at ELSE (
                SELECT min(CASE WHEN run_at > created_on THEN run_at ELSE created_on END)
                FROM (SELECT run_at, created_on FROM job_order
                    WHERE status = 'pending' AND queue = q.name AND priority = p.number
                    ORDER BY run_at LIMIT :most) AS earliest) END
                FROM job_order AS o
                WHERE o.status = 'pending' AND o.queue = q.name AND o.priority = p.number
                ORDER BY o.run_at LIMIT 1) AS since
        FROM queue AS q CROSS JOIN
            (SELECT 1 AS number UNION ALL SELECT 2 UNION ALL SELECT 3) AS p
    ) AS lane""")

TROUBLE = Sql("""
    SELECT max(at) FROM (SELECT at, kind FROM event ORDER BY id DESC LIMIT :most) AS latest
    WHERE kind IN ('rescued', 'crashed', 'worker_lost', 'worker_replaced')""")


class Figures:
    """The metrics document of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._condition = Condition()
        self._document: dict[str, Any] = {}
        self._until = 0.0

    def document(self) -> dict[str, Any]:
        """The figures, at most a second old. Raises `DatabaseAway`."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._document = self._compute()
                self._until = time.monotonic() + FRESH_SECONDS
            return self._document

    def _compute(self) -> dict[str, Any]:
        levels = ledger.levels(self._database)
        by_status = levels.by_status
        due, runnable, now = self._database.read(OLDEST, {"most": BACKDATED})[0]
        managers = [m for m in ledger.managers(self._database) if _beats(m)]
        slots = sum(manager.slots for manager in managers)
        workers = count_workers(self._database)
        busy = workers.get(BUSY, 0)
        mean = round(levels.run_ms / levels.runs) if levels.runs else 0
        work_ms = by_status.get(PENDING, 0) * mean
        state = self._condition.observe(
            Signs(
                now=now,
                trouble=self._database.read(TROUBLE, {"most": RECENT_EVENTS})[0][0],
                waiting_ms=max(0, now - runnable) if runnable is not None else 0,
                is_loaded=slots > 0 and busy >= 0.9 * slots and work_ms / slots > MUCH_WORK_MS,
            )
        )
        document = {
            "systemStatus": state.status,
            "statusReason": state.reason,
            "statusSince": moment(state.since),
            "workers": {
                "active": busy + workers.get(HUNG, 0),
                "idle": workers.get(IDLE, 0) + workers.get(STARTING, 0),
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
            "averageExecutionTimeMs": mean,
            "uptime": _uptime(managers),
            "oldestPendingSeconds": max(0, now - due) / 1000 if due is not None else 0,
            "processedPerMinute": self._per_minute(now),
            "updatedOn": moment(now),
        }
        if not managers:
            document["warning"] = "no manager is beating: orders wait"
        return document

    def _per_minute(self, now: int) -> int:
        """Ended orders a minute, over the last whole minute and what has passed of this one."""
        processed = sum(ledger.flow(self._database, 1).values())
        return round(processed / (1 + now % 60_000 / 60_000))


def _beats(manager: ledger.ManagerRow) -> bool:
    return manager.ended_on is None and manager.silent_ms < manager.stale_ms


def _uptime(managers: Sequence[ledger.ManagerRow]) -> str:
    """That of the oldest living manager, as hours, minutes and seconds."""
    longest = max((m.last_beat + m.silent_ms - m.started_on for m in managers), default=0)
    minutes, seconds = divmod(longest // 1000, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"

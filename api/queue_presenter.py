"""Queues as the endpoints and commands show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api import cursors
from api.answers import Answer
from api.presenter import plain_moment as moment
from database import Database
from ledger.queue_sight import MOST_COUNTED, Pause, QueueSight, watch_queues
from ledger.totals import Totals

DATABASE = "database"


class Queue(Answer):
    """A queue; `pending` are all that wait, `scheduled` those of them that are not due yet."""

    queue: str
    pending: int
    scheduled: int | str = Field(description=f'"{MOST_COUNTED}+" when they are too many to count')
    in_flight: int
    oldest_wait_seconds: float
    paused: bool = Field(description="by its name, or with all")
    paused_since: datetime | None
    paused_by: str | None
    managers: list[str] = Field(description="those that beat, and serve it")


class Transport(Answer):
    """How managers learn that orders wait, and what the broker in use says."""

    name: str


class QueuePage(Answer):
    """Queues by name."""

    items: list[Queue]
    next_cursor: str | None
    all_paused: bool
    transport: Transport


def document(database: Database, totals: Totals, limit: int, after: str = "") -> dict[str, Any]:
    """A page of queues that come after this one, as JSON. Raises `DatabaseAway`."""
    found = watch_queues(database, totals, limit + 1, after)
    shown = found.queues[:limit]
    is_more = len(found.queues) > limit
    return {
        "items": [_queue(one, found.every) for one in shown],
        "nextCursor": cursors.make_of_name(shown[-1].name) if is_more else None,
        "allPaused": found.every.since is not None,
        "transport": {"name": DATABASE},
    }


def _queue(one: QueueSight, every: Pause) -> dict[str, Any]:
    pause = one.pause if one.pause.since is not None else every
    return {
        "queue": one.name,
        "pending": one.pending,
        "scheduled": f"{MOST_COUNTED}+" if one.scheduled is None else one.scheduled,
        "inFlight": one.in_flight,
        "oldestWaitSeconds": one.waits_ms / 1000,
        "paused": pause.since is not None,
        "pausedSince": None if pause.since is None else moment(pause.since),
        "pausedBy": pause.paused_by,
        "managers": list(one.managers),
    }

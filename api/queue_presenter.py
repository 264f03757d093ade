"""Queues as the endpoints and commands show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from api import cursors
from api.answers import Answer
from api.presenter import plain_moment as moment
from database import Database
from ledger.broker_sight import QueueLoad, recall_look
from ledger.queue_sight import MOST_COUNTED, Pause, QueueSight, watch_queues
from ledger.totals import Totals

DATABASE = "database"


class Queue(Answer):
    """A queue; `pending` are all that wait, `scheduled` those of them that are not due yet."""

    queue: str
    pending: int
    scheduled: int | str = Field(description=f'"{MOST_COUNTED}+" when they are too many to count')
    in_flight: int
    redelivered: int = Field(description="those in flight that were given out before")
    oldest_wait_seconds: float
    paused: bool = Field(description="by its name, or with all")
    paused_since: datetime | None
    paused_by: str | None
    managers: list[str] = Field(description="those that beat, and serve it")


class BrokerQueue(Answer):
    """A queue of the broker; null is what it does not tell."""

    queue: str
    depth: int = Field(description="messages that wait in it")
    unacknowledged: int | None = Field(description="those that somebody has")
    redelivered: int | None = Field(description="those of them that came more than once")
    consumers: int | None = Field(description="those that receive")
    oldest_wait_seconds: float | None = Field(description="how long the oldest has been there")


class Transport(Answer):
    """How managers learn that orders wait, and what the broker in use last said to one of them.

    Without a broker, or before it was asked, there is only the name.
    """

    name: str
    sampled_on: datetime | None = None
    sampled_by: str | None = Field(None, description="the manager that asked")
    away: str | None = Field(None, description="why it cannot be reached, if it cannot")
    queues: list[BrokerQueue] | None = Field(None, description="of ids of orders that are due")
    submitted: BrokerQueue | None = Field(None, description="messages that ask for orders")
    refused: BrokerQueue | None = Field(None, description="those that made none")


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
        "transport": _transport(database, found.transports),
    }


def _transport(database: Database, names: Sequence[str]) -> dict[str, Any]:
    """The broker that managers use; while some change over to it, or from it, that one."""
    name = next((one for one in names if one != DATABASE), DATABASE)
    sight = None if name == DATABASE else recall_look(database, name)
    if sight is None:
        return {"name": name}
    look = sight.look
    return {
        "name": name,
        "sampledOn": moment(sight.sampled_on),
        "sampledBy": sight.manager,
        "away": look.away,
        "queues": [_load(one) for one in look.queues],
        "submitted": look.submitted and _load(look.submitted),
        "refused": look.refused and _load(look.refused),
    }


def _load(one: QueueLoad) -> dict[str, Any]:
    return {
        "queue": one.queue,
        "depth": one.depth,
        "unacknowledged": one.unacknowledged,
        "redelivered": one.redelivered,
        "consumers": one.consumers,
        "oldestWaitSeconds": None if one.waits_ms is None else one.waits_ms / 1000,
    }


def _queue(one: QueueSight, every: Pause) -> dict[str, Any]:
    pause = one.pause if one.pause.since is not None else every
    return {
        "queue": one.name,
        "pending": one.pending,
        "scheduled": f"{MOST_COUNTED}+" if one.scheduled is None else one.scheduled,
        "inFlight": one.in_flight,
        "redelivered": one.redelivered,
        "oldestWaitSeconds": one.waits_ms / 1000,
        "paused": pause.since is not None,
        "pausedSince": None if pause.since is None else moment(pause.since),
        "pausedBy": pause.paused_by,
        "managers": list(one.managers),
    }

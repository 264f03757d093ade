"""Stopping claims and letting them go on."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import exact_json
import ledger
from api import errors, replies
from api.answers import QueueState
from api.schemas import QueuePath
from api.services import services
from models import ALL_QUEUES

bp = APIBlueprint("queues", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


@bp.post("/queues/<name>/pause", summary="Pause a queue", responses={200: QueueState})
def pause(path: QueuePath) -> Response:
    """What is claimed already goes on; nothing more is claimed from this queue."""
    return _pause(path.name)


@bp.post("/queues/<name>/resume", summary="Resume a queue", responses={200: QueueState})
def resume(path: QueuePath) -> Response:
    """Claims go on, unless all queues are paused."""
    return _resume(path.name)


@bp.post("/pause", summary="Pause all queues", responses={200: QueueState})
def pause_all() -> Response:
    """What is claimed already goes on; nothing more is claimed."""
    return _pause(ALL_QUEUES)


@bp.post("/resume", summary="Resume all queues", responses={200: QueueState})
def resume_all() -> Response:
    """A queue that was paused by its name stays paused."""
    return _resume(ALL_QUEUES)


def _pause(queue: str) -> Response:
    ledger.pause(services().database, queue)
    return _state(queue, paused=True)


def _resume(queue: str) -> Response:
    ledger.resume(services().database, queue)
    services().bell.ring()
    return _state(queue, paused=False)


def _state(queue: str, *, paused: bool) -> Response:
    rows = ledger.queues(services().database)
    stopped = [row.name for row in rows if row.paused_on is not None]
    state = {"queue": queue, "paused": paused, "allPaused": stopped}
    return replies.json_text(exact_json.dumps(state))

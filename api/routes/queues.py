"""Queues: what waits in each, and stopping claims and letting them go on."""

from __future__ import annotations

from typing import Annotated

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import Field

import exact_json
import ledger
from api import cursors, errors, queue_presenter, replies
from api.answers import QueueState
from api.described import answer
from api.inputs import Digits, Query
from api.queue_presenter import QueuePage
from api.schedule_inputs import is_name
from api.schemas import MAX_PAGE, QueuePath
from api.services import caller, services
from models import ALL_QUEUES

bp = APIBlueprint("queues", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


class QueueList(Query):
    """How many queues to list, and from where on."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Digits] = 100
    cursor: Annotated[str, Field(max_length=200)] | None = None


@bp.get("/queues", summary="List queues", responses={200: answer(QueuePage, "Link?")})
def list_queues(query: QueueList) -> Response:
    """By name: what waits and runs in each, how long, and who serves it. Costs the same however
    many orders there are."""
    after = "" if query.cursor is None else _after(query.cursor)
    ours = services()
    page = queue_presenter.document(ours.database, ours.figures.totals, query.limit, after)
    return replies.paged(replies.json_text(exact_json.dumps(page)), page["nextCursor"])


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
    ledger.pause(services().database, queue, caller())
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


def _after(cursor: str) -> str:
    try:
        return cursors.read_name(cursor, is_name)
    except cursors.BadCursor as error:
        raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None

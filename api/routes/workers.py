"""The workers of all managers, and the managers."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import exact_json
from api import cursors, errors, replies, worker_presenter
from api.answers import WorkerPage
from api.described import Responses, answer
from api.schemas import WorkerList
from api.services import services

bp = APIBlueprint("workers", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)
status_bp = APIBlueprint("workers_status", __name__, abp_responses=errors.EVERYWHERE)

_PAGE: Responses = {200: answer(WorkerPage, "Link?")}


@bp.get("/workers", summary="List workers and managers", responses=_PAGE)
def list_workers(query: WorkerList) -> Response:
    """What each worker does and uses, at most about two seconds old, and what became of the lost
    ones' orders. Lost workers and managers are shown for ten minutes."""
    return _page(query)


@status_bp.get("/workers/status", summary="List workers", responses=_PAGE)
def workers_status(query: WorkerList) -> Response:
    """The same as /api/v1/workers."""
    return _page(query)


def _page(query: WorkerList) -> Response:
    after = "" if query.cursor is None else _after(query.cursor)
    page = worker_presenter.document(services().database, query.limit, after)
    return replies.paged(replies.json_text(exact_json.dumps(page)), page["nextCursor"])


def _after(cursor: str) -> str:
    try:
        return cursors.read_name(cursor, worker_presenter.is_worker)
    except cursors.BadCursor as error:
        raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None

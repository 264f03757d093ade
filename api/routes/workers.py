"""The workers of all managers, and the managers."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import exact_json
from api import cursors, errors, replies
from api.answers import WorkerPage
from api.presenter import plain_moment as moment
from api.schemas import WorkerList
from api.services import services
from ledger import workers as registry

bp = APIBlueprint("workers", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)
status_bp = APIBlueprint("workers_status", __name__, abp_responses=errors.EVERYWHERE)


@bp.get("/workers", summary="List workers and managers", responses={200: WorkerPage})
def list_workers(query: WorkerList) -> Response:
    """What each worker does and uses, at most about two seconds old, and what became of the lost
    ones' orders. Lost workers and managers are shown for ten minutes."""
    return _page(query)


@status_bp.get("/workers/status", summary="List workers", responses={200: WorkerPage})
def workers_status(query: WorkerList) -> Response:
    """The same as /api/v1/workers."""
    return _page(query)


def _page(query: WorkerList) -> Response:
    after = "" if query.cursor is None else _after(query.cursor)
    database = services().database
    with database.session():
        crews = registry.crews(database)
        found = registry.workers(database, query.limit + 1, after)
    rows = found[: query.limit]
    document = {
        "items": [_worker(row) for row in rows],
        "nextCursor": cursors.make_of_name(rows[-1].id) if len(found) > query.limit else None,
        "managers": [_manager(crew) for crew in crews],
    }
    return replies.json_text(exact_json.dumps(document))


def _worker(row: registry.WorkerRow) -> dict[str, Any]:
    return {
        "workerId": row.id,
        "manager": row.manager,
        "state": row.state,
        "kind": row.kind,
        "cpuPercent": row.cpu,
        "ramMb": row.ram_mb,
        "ramShared": row.kind == registry.THREAD,
        "assigned": row.assigned,
        "done": row.done,
        "currentJob": row.order_id,
        "currentJobStatus": row.order_status,
        "lastHeartbeat": moment(row.last_seen),
    }


def _manager(crew: registry.CrewRow) -> dict[str, Any]:
    return {
        "managerId": crew.id,
        "host": crew.host,
        "pid": crew.pid,
        "version": crew.version,
        "slots": crew.slots,
        "transport": crew.transport,
        "queues": crew.queues.split(",") if crew.queues else None,
        "state": crew.state,
        "startedOn": moment(crew.started_on),
        "lastHeartbeat": moment(crew.last_beat),
        "proof": crew.proof,
    }


def _after(cursor: str) -> str:
    try:
        return cursors.read_name(cursor, _is_worker)
    except cursors.BadCursor as error:
        raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None


def _is_worker(text: str) -> bool:
    try:
        number = registry.number_of(text)
    except ValueError:
        return False
    return 0 < number < registry.MOST_NUMBER and "\0" not in text

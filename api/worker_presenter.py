"""Workers and managers as the endpoints and commands show them."""

from __future__ import annotations

from typing import Any

from api import cursors
from api.presenter import plain_moment as moment
from database import Database
from ledger import workers as registry
from ledger.workers import CrewRow, WorkerRow


def document(database: Database, limit: int, after: str = "") -> dict[str, Any]:
    """A page of workers that come after this one, and all managers, as JSON.

    Raises `DatabaseAway`.
    """
    with database.session():
        crews = registry.crews(database)
        found = registry.workers(database, limit + 1, after)
    rows = found[:limit]
    return {
        "items": [_worker(row) for row in rows],
        "nextCursor": cursors.make_of_name(rows[-1].id) if len(found) > limit else None,
        "managers": [_manager(crew) for crew in crews],
    }


def is_worker(text: str) -> bool:
    """Whether a worker may be named so."""
    try:
        number = registry.number_of(text)
    except ValueError:
        return False
    return 0 < number < registry.MOST_NUMBER and "\0" not in text


def _worker(row: WorkerRow) -> dict[str, Any]:
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


def _manager(crew: CrewRow) -> dict[str, Any]:
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

"""Schedules: orders by a cron expression."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import ledger
from api import cursors, errors, intake, replies, schedule_presenter
from api.committer import Accepted
from api.described import answer
from api.headers import Submitting
from api.schedule_inputs import (
    NewSchedulePlan,
    SchedulePath,
    SchedulePut,
    SchedulesQuery,
    is_name,
    same_name,
    wanted,
)
from api.schedule_presenter import Schedule, SchedulePage
from api.services import services
from ledger import schedules

bp = APIBlueprint("schedules", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

_THEN = {
    f"schedules.{name}": {"name": "$response.body#/name"}
    for name in ("get", "put", "pause", "resume", "run", "delete")
}


@bp.get("/schedules", summary="List schedules", responses={200: answer(SchedulePage, "Link?")})
def list_schedules(query: SchedulesQuery) -> Response:
    """By name."""
    after = ""
    if query.cursor is not None:
        try:
            after = cursors.read_name(query.cursor, is_name)
        except cursors.BadCursor as error:
            raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None
    rows = schedules.page(services().database, after, query.limit + 1)
    found = rows[: query.limit]
    cursor = cursors.make_of_name(found[-1].name) if len(rows) > query.limit else None
    return replies.paged(replies.json_text(schedule_presenter.page(found, cursor)), cursor)


@bp.post(
    "/schedules",
    summary="Create a schedule",
    responses={201: answer(Schedule, "Location", says="Created", then=_THEN)}
    | errors.documented(409),
)
def create(body: NewSchedulePlan) -> Response:
    """409 when there is one of its name: PUT replaces it."""
    asked = wanted(services().settings, body.name, body)
    return created(schedules.create(services().database, asked))


@bp.get("/schedules/<name>", summary="A schedule", responses={200: Schedule})
def get(path: SchedulePath) -> Response:
    """With its last fire and its next ones."""
    return shown(schedules.find(services().database, path.name))


@bp.put(
    "/schedules/<name>",
    summary="Create or replace a schedule",
    responses={200: Schedule, 201: answer(Schedule, "Location", says="Created")},
)
def put(path: SchedulePath, body: SchedulePut) -> Response:
    """The same again changes nothing. `enabled` left out stays as it is; all else that is left out
    gets its default. The next fire stays unless the expression or the zone changes."""
    asked = wanted(services().settings, same_name(path, body), body)
    row, is_new = schedules.put(services().database, asked)
    return created(row) if is_new else shown(row)


@bp.delete("/schedules/<name>", summary="Delete a schedule", responses={200: Schedule})
def delete(path: SchedulePath) -> Response:
    """The schedule as it was is the answer. Its orders stay."""
    return shown(schedules.delete(services().database, path.name))


@bp.post("/schedules/<name>/pause", summary="Pause a schedule", responses={200: Schedule})
def pause(path: SchedulePath) -> Response:
    """Nothing is due until it is resumed, and nothing is caught up then."""
    return shown(schedules.set_enabled(services().database, path.name, enabled=False))


@bp.post("/schedules/<name>/resume", summary="Resume a schedule", responses={200: Schedule})
def resume(path: SchedulePath) -> Response:
    """It goes on with the next fire from now."""
    return shown(schedules.set_enabled(services().database, path.name, enabled=True))


@bp.post(
    "/schedules/<name>/run",
    summary="Make an order of a schedule now",
    responses=replies.SUBMITTED,
)
def run(path: SchedulePath, header: Submitting) -> Response:
    """Also while it is paused; its fires stay as they are. `Idempotency-Key` and `Prefer: wait=N`
    are understood."""
    new = ledger.NewOrder(ledger.new_id(), "", "")
    asked = intake.keyed([new], {"run": path.name}, header)
    order, receipt = schedules.run(services().database, path.name, asked)
    if not receipt.replayed:
        services().bell.ring()
    return replies.accepted(order, Accepted(receipt.ids, receipt.replayed), header.prefer)


def shown(row: schedules.ScheduleRow) -> Response:
    """The schedule as an answer."""
    return replies.json_text(schedule_presenter.schedule(row))


def created(row: schedules.ScheduleRow) -> Response:
    """The schedule as the answer to its making, with its address."""
    response = replies.json_text(schedule_presenter.schedule(row), HTTPStatus.CREATED)
    response.headers["Location"] = f"/api/v1/schedules/{row.name}"
    return response

"""Projects: repositories saved under a name, and their runs."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

import ledger
from api import cursors, errors, intake, project_presenter, replies
from api.committer import Accepted
from api.described import answer
from api.headers import Submitting
from api.project_inputs import (
    NewProjectPlan,
    ProjectPath,
    ProjectPut,
    ProjectSchedulePlan,
    ProjectsQuery,
    same_name,
    wanted,
)
from api.project_presenter import Project, ProjectPage
from api.routes.schedules import created, shown
from api.schedule_inputs import is_name
from api.schedule_presenter import Schedule
from api.services import caller, services
from ledger import projects, schedules

bp = APIBlueprint("projects", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

_THEN = {
    f"projects.{name}": {"name": "$response.body#/name"}
    for name in ("get", "put", "put_schedule", "run", "delete")
}
_CREATED = answer(Project, "Location", says="Saved", then=_THEN)


@bp.get("/projects", summary="List projects", responses={200: answer(ProjectPage, "Link?")})
def list_projects(query: ProjectsQuery) -> Response:
    """By name, without their runs."""
    after = ""
    if query.cursor is not None:
        try:
            after = cursors.read_name(query.cursor, is_name)
        except cursors.BadCursor as error:
            raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None
    rows = projects.page(services().database, after, query.limit + 1)
    found = rows[: query.limit]
    cursor = cursors.make_of_name(found[-1].name) if len(rows) > query.limit else None
    response = replies.json_text(project_presenter.page(found, cursor))
    if cursor is not None:
        again = urlencode({"limit": query.limit, "cursor": cursor})
        response.headers["Link"] = f'<{request.path}?{again}>; rel="next"'
    return response


@bp.post("/projects", summary="Save a project", responses={201: _CREATED} | errors.documented(409))
def create(body: NewProjectPlan) -> Response:
    """409 when there is one of its name: PUT replaces it."""
    order = wanted(services().settings, body.name, body)
    return _created(projects.create(services().database, body.name, order))


@bp.get("/projects/<name>", summary="A project", responses={200: Project})
def get(path: ProjectPath) -> Response:
    """With its latest runs, and how long they take."""
    return _shown(projects.find(services().database, path.name))


@bp.put(
    "/projects/<name>", summary="Save or replace a project", responses={200: Project, 201: _CREATED}
)
def put(path: ProjectPath, body: ProjectPut) -> Response:
    """The same again changes nothing. What is left out gets its default."""
    name = same_name(path, body)
    order = wanted(services().settings, name, body)
    row, is_new = projects.put(services().database, name, order)
    return _created(row) if is_new else _shown(row)


@bp.delete(
    "/projects/<name>",
    summary="Delete a project",
    responses={200: Project} | errors.documented(409),
)
def delete(path: ProjectPath) -> Response:
    """The project as it was is the answer. Its orders stay. 409 while schedules run it."""
    return _shown(projects.delete(services().database, path.name))


@bp.post("/projects/<name>/run", summary="Run a project", responses=replies.SUBMITTED)
def run(path: ProjectPath, header: Submitting) -> Response:
    """`Idempotency-Key` and `Prefer: wait=N` are understood."""
    new = ledger.NewOrder(ledger.new_id(), "", "")
    asked = intake.keyed([new], {"runProject": path.name}, header)
    order, receipt = projects.run(services().database, path.name, asked)
    if not receipt.replayed:
        services().bell.ring()
    return replies.accepted(order, Accepted(receipt.ids, receipt.replayed), header.prefer)


@bp.put(
    "/projects/<name>/schedule",
    summary="Run a project by a cron expression",
    responses={200: Schedule, 201: answer(Schedule, "Location", says="Made")}
    | errors.documented(409),
)
def put_schedule(path: ProjectPath, body: ProjectSchedulePlan) -> Response:
    """A schedule of the project's name, which runs it as it is saved by then. 409 when there is
    one of that name that runs something else."""
    database = services().database
    row = projects.find(database, path.name)
    with suppress(schedules.UnknownSchedule):
        if schedules.find(database, path.name).project != path.name:
            raise schedules.ScheduleExists(path.name)
    order = projects.order_of(row, "", caller())
    asked = schedules.NewSchedule(path.name, body.expression, body.timezone, order, body.enabled)
    made, is_new = schedules.put(database, asked)
    return created(made) if is_new else shown(made)


def _shown(row: projects.ProjectRow, status: int = HTTPStatus.OK) -> Response:
    runs = projects.runs(services().database, row.name)
    return replies.json_text(project_presenter.project(row, runs), status)


def _created(row: projects.ProjectRow) -> Response:
    response = _shown(row, HTTPStatus.CREATED)
    response.headers["Location"] = f"/api/v1/projects/{row.name}"
    return response

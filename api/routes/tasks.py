"""The list and the detail of orders under their other names."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import errors
from api.answers import JobDetail, JobPage
from api.described import answer
from api.routes import jobs
from api.schemas import JobFilter, JobPath

bp = APIBlueprint("tasks", __name__, abp_responses=errors.EVERYWHERE)


@bp.get("/tasks", summary="List orders", responses={200: answer(JobPage, "Link?")})
def list_tasks(query: JobFilter) -> Response:
    """The same as /api/v1/jobs."""
    return jobs.page(query)


@bp.get("/tasks/<id>", summary="An order in detail", responses={200: JobDetail})
def get_task(path: JobPath) -> Response:
    """The same as /api/v1/jobs/<id>: retrieves nothing."""
    return jobs.detail(path)

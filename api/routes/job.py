"""The customer's door: the state and the result of an order."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

import ledger
from api import errors, ownership, presenter, replies
from api.answers import JobOrder, JobState
from api.described import Responses, answer, header_objects
from api.headers import Asking
from api.identity import identity
from api.schemas import JobPath, Wait
from api.services import services
from ledger import OrderRow
from models import COMPLETED, ENDED, FAILED, RETRIEVED

bp = APIBlueprint("job", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

_JOB: Responses = {
    200: answer(
        JobOrder, *("ETag", "Retry-After?", "Preference-Applied?"), says="Its state and result"
    ),
    304: {
        "description": "Not as If-None-Match has it, and so not sent again",
        "headers": header_objects("ETag", "Retry-After?", "Preference-Applied?"),
    },
}
_RESULT: Responses = {
    200: {
        "description": "The result, or the error document of an order that failed",
        "content": {"application/json": {"schema": {}}},
    }
} | errors.documented(409, headers=header_objects("Retry-After?"))


@bp.get("/job/<id>", summary="State and result of an order", responses=_JOB)
def get_job(path: JobPath, query: Wait, header: Asking) -> Response:
    """The first answer to a completed order marks it retrieved; `If-None-Match` is understood."""
    row, headers = replies.held(ownership.find(path.id), query.wait, header.prefer)
    tag = _tag(row)
    headers["ETag"] = f'W/"{tag}"'
    if row.status not in ENDED:
        headers["Retry-After"] = replies.ASK_AGAIN_SECONDS
    if request.if_none_match.contains_weak(tag):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    response = replies.json_text(presenter.order(_retrieved(row), secrets=True))
    response.headers.update(headers)
    return response


@bp.get(
    "/job/<id>/status",
    summary="Only the state of an order",
    responses={200: answer(JobState, "Retry-After?")},
)
def get_status(path: JobPath) -> Response:
    """Retrieves nothing."""
    row = ownership.find(path.id)
    response = replies.json_text(
        f'{{"jobId":"{row.id}","status":"{row.status}","attempts":{row.attempts},'
        f'"progress":{row.progress or "null"},'
        f'"lastUpdated":{presenter.moment(row.last_updated)}}}'
    )
    if row.status not in ENDED:
        response.headers["Retry-After"] = replies.ASK_AGAIN_SECONDS
    return response


@bp.get("/job/<id>/result", summary="Only the result, as it was returned", responses=_RESULT)
def get_result(path: JobPath) -> Response:
    """409 while there is none; the error document of an order that failed."""
    row = ownership.find(path.id)
    if row.status == FAILED:
        return replies.json_text(row.error or "null")
    if row.status not in (COMPLETED, RETRIEVED):
        raise errors.no_result_yet(row.status)
    return replies.json_text(_retrieved(row).result or "null")


def _retrieved(row: OrderRow) -> OrderRow:
    """The order as this answer shows it, marked retrieved if this is the first to fetch it."""
    if row.status != COMPLETED or request.method == "HEAD" or not identity().may_fetch(row.owner):
        return row
    if ledger.retrieve(services().database, row.id):
        return row
    return ledger.find(services().database, row.id)  # somebody else was first


def _tag(row: OrderRow) -> str:
    # Fetching a result does not change it: who has it needs it no second time.
    status = COMPLETED if row.status == RETRIEVED else row.status
    return f"{row.lease}-{row.last_updated}-{status}"

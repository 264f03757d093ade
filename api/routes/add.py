"""The sum of two numbers, submitted by its address alone."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import ledger
from api import errors, intake, replies
from api.headers import Submitting
from api.replies import SUBMITTED
from api.schemas import Sum
from api.services import services
from jobs.builtin.add import parse_number
from submissions.schema import JobSubmission

bp = APIBlueprint("add", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


@bp.get("/add/<num1>/<num2>", summary="Submit a sum", responses=SUBMITTED)
def get(path: Sum, header: Submitting) -> Response:
    """This GET writes: cross-site requests of browsers are refused, and HEAD is not taken."""
    return _submit(path, header)


@bp.post("/add/<num1>/<num2>", summary="Submit a sum", responses=SUBMITTED)
def post(path: Sum, header: Submitting) -> Response:
    """The result is the bare JSON number, added exactly in decimal."""
    return _submit(path, header)


def _submit(path: Sum, header: Submitting) -> Response:
    payload = {"num1": parse_number(path.num1), "num2": parse_number(path.num2)}
    submission = JobSubmission.model_construct(type="add", payload=payload)
    new = intake.order(services().settings, ledger.new_id(), submission)
    asked = intake.keyed([new], {"type": "add", "payload": payload}, header)
    return replies.accepted(new, services().committer.submit(asked), header.prefer)

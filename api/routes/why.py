"""Why an order does not run or end."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import errors, ownership, replies, why_presenter
from api.answers import Why
from api.schemas import JobPath
from api.services import services
from ledger.why import explain

bp = APIBlueprint("why", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


@bp.get("/jobs/<id>/why", summary="Why an order does not run", responses={200: Why})
def why(path: JobPath) -> Response:
    """Every reason why it does not run or end, or why it has ended, with what to do about each:
    the most decisive first. Retrieves nothing."""
    ownership.check(path.id)
    return replies.json_text(why_presenter.document(explain(services().database, path.id)))

"""Cancelling, retrying and deleting all orders that match, in the background."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import exact_json
import ledger
from api import errors, replies
from api.action_inputs import ActionPath, ActionRequest
from api.answers import BulkAction
from api.described import answer
from api.identity import identity
from api.job_list import wanted
from api.presenter import plain_moment
from api.services import caller, services
from ledger import bulk

bp = APIBlueprint("actions", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

_STARTED = answer(
    BulkAction,
    *("Location", "Retry-After"),
    says="Written down, to be worked off by a manager",
    then={"actions.get": {"id": "$response.body#/actionId"}},
)


@bp.post("/jobs/actions", summary="Act on all orders that match", responses={202: _STARTED})
def start(body: ActionRequest) -> Response:
    """A manager counts those that match and were made before this, then moves them in batches.
    With `dryRun` it only counts. What somebody else moves first is passed over."""
    if identity().sees_only is not None and body.action != bulk.CANCEL:
        raise errors.forbidden("A customer may cancel its own orders, and no more.")
    filters = wanted(body.filter)
    database = services().database
    action = bulk.create(
        database,
        ledger.new_id(),
        body.action,
        filters,
        dry_run=body.dry_run,
        owner=caller(),
    )
    response = _shown(action, HTTPStatus.ACCEPTED)
    response.headers["Location"] = f"/api/v1/jobs/actions/{action.id}"
    return response


@bp.get(
    "/jobs/actions/<id>",
    summary="How far an action is",
    responses={200: answer(BulkAction, "Retry-After?")},
)
def get(path: ActionPath) -> Response:
    """Can be asked for a week after it was done."""
    action = bulk.find(services().database, path.id)
    if identity().sees_only not in (None, action.owner):
        raise bulk.UnknownAction(path.id)
    return _shown(action)


def _shown(action: bulk.ActionRow, status: int = HTTPStatus.OK) -> Response:
    document = {
        "actionId": action.id,
        "action": action.kind,
        "dryRun": action.dry_run,
        "state": action.state,
        "total": action.total,
        "done": action.done,
        "owner": action.owner,
        "createdOn": plain_moment(action.created_on),
        "endedOn": None if action.ended_on is None else plain_moment(action.ended_on),
    }
    response = replies.json_text(exact_json.dumps(document), status)
    if action.state != bulk.DONE:
        response.headers["Retry-After"] = replies.ASK_AGAIN_SECONDS
    return response

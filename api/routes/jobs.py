"""Submitting orders, and what operators read and do."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

import exact_json
import ledger
from api import errors, intake, ownership, presenter, queries, replies
from api.answers import JobCount, JobDetail, JobIds, JobOrder, JobPage
from api.described import Responses, answer
from api.headers import Keyed, Submitting
from api.job_list import listing, wanted
from api.schemas import JobBatch, JobFilter, JobMatch, JobPath
from api.services import services
from ledger import hints
from submissions.schema import JobSubmission

bp = APIBlueprint("jobs", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


_PAGE: Responses = {200: answer(JobPage, "Link?")}
_IDS: Responses = {
    202: answer(JobIds, says="All are committed"),
    200: answer(
        JobIds, "Idempotency-Replayed", says="A repeated key answers the first request again"
    ),
}
_MOVED: Responses = {200: JobOrder} | errors.documented(409)


@bp.post("/jobs", summary="Submit an order", responses=replies.SUBMITTED)
def submit(header: Submitting, body: JobSubmission) -> Response:
    """202 once the order is committed. `Idempotency-Key` and `Prefer: wait=N` are understood."""
    new = intake.order(services().settings, ledger.new_id(), body)
    asked = intake.keyed([new], request.get_json(), header)
    return replies.accepted(new, services().committer.submit(asked), header.prefer)


@bp.post("/jobs/bulk", summary="Submit many orders", responses=_IDS | errors.documented(409))
def submit_batch(header: Keyed, body: JobBatch) -> Response:
    """All or none, in one transaction; the ids come in the order of the batch."""
    new = intake.orders(services().settings, body.root)
    asked = intake.keyed(new, request.get_json(), header)
    outcome = services().committer.submit(asked)
    status = HTTPStatus.OK if outcome.replayed else HTTPStatus.ACCEPTED
    response = replies.json_text(exact_json.dumps({"jobIds": outcome.ids}), status)
    if outcome.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@bp.get("/jobs", summary="List orders", responses=_PAGE)
def list_jobs(query: JobFilter) -> Response:
    """Newest first. Filters that no index knows look at a bounded stretch: see `searchedTo`."""
    return page(query)


@bp.get("/jobs/count", summary="Count orders", responses={200: JobCount})
def count(query: JobMatch) -> Response:
    """Counts to 10,000, and then says `10000+`. Filters that no index knows look at a bounded
    stretch: what they found there is then the least, such as `12+`."""
    found = queries.count(services().database, wanted(query))
    shown = f"{found.n}+" if found.is_least else found.n
    return replies.json_text(exact_json.dumps({"count": shown}))


@bp.get("/jobs/<id>", summary="An order in detail", responses={200: JobDetail})
def get(path: JobPath) -> Response:
    """The operator's door: retrieves nothing."""
    return detail(path)


@bp.post("/jobs/<id>/cancel", summary="Cancel an order", responses=_MOVED)
def cancel(path: JobPath) -> Response:
    """Possible while the order is pending or wip; a running job is told to stop."""
    ownership.check(path.id)
    row = ledger.cancel(services().database, path.id)
    services().bell.ring(hints.CANCEL)
    return replies.json_text(presenter.order(row))


@bp.post("/jobs/<id>/retry", summary="Run an order again", responses=_MOVED)
def retry(path: JobPath) -> Response:
    """Possible while the order is failed or cancelled; its history stays."""
    row = ledger.retry(services().database, path.id)
    services().bell.ring()
    return replies.json_text(presenter.order(row))


@bp.delete("/jobs/<id>", summary="Delete an ended order", responses=_MOVED)
def delete(path: JobPath) -> Response:
    """The order as it was is the answer."""
    return replies.json_text(presenter.order(ledger.delete(services().database, path.id)))


def page(query: JobFilter) -> Response:
    """A page of the list, also under its other name."""
    found = listing(services().database, query)
    return replies.paged(replies.json_text(presenter.page(*found)), found.cursor)


def detail(path: JobPath) -> Response:
    """An order with its history, also under its other name."""
    database = services().database
    with database.session():
        row = ownership.find(path.id)
        past = ledger.history(database, path.id)
    return replies.json_text(presenter.detail(row, past))

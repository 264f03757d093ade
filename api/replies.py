"""Answers of the order endpoints: the accepted order, and how long to hold an answer back."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Response, request

import ledger
from api import errors, presenter
from api.answers import JobOrder
from api.committer import Accepted
from api.described import Responses, answer
from api.schemas import MAX_WAIT
from api.services import services
from ledger import NewOrder, OrderRow
from models import ENDED, PENDING

ASK_AGAIN_SECONDS = "1"

_THEN = {
    endpoint: {"id": "$response.body#/jobId"}
    for endpoint in (
        *("job.get_job", "job.get_status", "job.get_result", "jobs.get", "jobs.cancel"),
        *("jobs.retry", "jobs.delete", "why.why", "logs.logs", "tasks.get_task"),
    )
}
# How an order that was submitted is answered, and the 409 of a key whose order is gone.
SUBMITTED: Responses = {
    202: answer(
        JobOrder,
        *("Location", "Retry-After", "Preference-Applied?"),
        says="Committed; it has not ended",
        then=_THEN,
    ),
    200: answer(
        JobOrder,
        *("Location", "Retry-After?", "Preference-Applied?", "Idempotency-Replayed?"),
        says="It ended while this waited, or a repeated key answers the first request again",
    ),
} | errors.documented(409)

# What stands between commas and semicolons; these may be in quotes.
_PREFERENCE = re.compile(r'(?:[^,;"]|"(?:[^"\\]|\\.)*"?)+')


def json_text(text: str, status: int = HTTPStatus.OK) -> Response:
    """An answer whose JSON is there already."""
    return Response(text, status, mimetype="application/json")


def paged(response: Response, cursor: str | None, parameter: str = "cursor") -> Response:
    """The answer with the address of the next page, if there is one: the same but for one
    parameter."""
    if cursor is not None:
        pairs = [pair for pair in request.args.items(multi=True) if pair[0] != parameter]
        address = f"{request.path}?{urlencode([*pairs, (parameter, cursor)])}"
        response.headers["Link"] = f'<{address}>; rel="next"'
    return response


def preferred_wait(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=N`, cut to the longest wait; None when not asked for.

    As RFC 7240 has it, the first `wait` counts, and one that is no number is as good as none.
    """
    for preference in _PREFERENCE.findall(prefer or ""):
        name, _, value = preference.partition("=")
        if name.strip().lower() == "wait":
            return _seconds(value.strip().removeprefix('"').removesuffix('"'))
    return None


def _seconds(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return MAX_WAIT if len(digits) > len(str(MAX_WAIT)) else min(int(digits), MAX_WAIT)


def held(row: OrderRow, wait: float | None, prefer: str | None) -> tuple[OrderRow, dict[str, str]]:
    """The order once it has ended, or after the time that was asked for; headers that say so."""
    preferred = preferred_wait(prefer) if wait is None else None
    seconds = preferred if wait is None else wait
    if not seconds or row.status in ENDED:
        applied = preferred is not None
    else:
        applied = services().waiter.wait(row.id, seconds) and preferred is not None
        row = ledger.find(services().database, row.id)
    return row, {"Preference-Applied": f"wait={preferred}"} if applied else {}


def accepted(new: NewOrder, outcome: Accepted, prefer: str | None) -> Response:
    """The answer to a submit: 202 with the order, 200 when a repeated key answers the first one."""
    headers = {"Location": f"/api/v1/job/{outcome.ids[0]}"}
    status = HTTPStatus.ACCEPTED
    if outcome.replayed:
        headers["Idempotency-Replayed"] = "true"
        status = HTTPStatus.OK
    row = _row(new, outcome)
    row, applied = held(row, None, prefer)
    if row.status in ENDED:
        status = HTTPStatus.OK
    else:
        headers["Retry-After"] = ASK_AGAIN_SECONDS
    response = json_text(presenter.order(row), status)
    response.headers.update(headers | applied)
    return response


def _row(new: NewOrder, outcome: Accepted) -> OrderRow:
    """The order as it was committed; read only where it was not this request that made it."""
    if outcome.replayed or not outcome.created_on:
        try:
            return ledger.find(services().database, outcome.ids[0])
        except ledger.UnknownOrder:  # deleted since
            raise ledger.KeySpent(ledger.KeySpent.__doc__) from None
    return OrderRow(
        id=new.id,
        type=new.type,
        queue=new.queue,
        status=PENDING,
        priority=new.priority,
        payload=new.payload,
        result=None,
        error=None,
        progress=None,
        attempts=0,
        crashes=0,
        max_attempts=new.max_attempts,
        lease=0,
        timeout_ms=new.timeout_ms,
        max_silence_ms=new.max_silence_ms,
        manager=None,
        worker=None,
        run_at=outcome.run_at,
        created_on=outcome.created_on,
        started_on=None,
        last_updated=outcome.created_on,
        completed_on=None,
        retrieved_on=None,
        run_ms=None,
        owner=new.owner,
        tags=new.tags,
        callback_url=new.callback_url,
        copy_of=new.copy_of,
        schedule=new.schedule,
        project=new.project,
        sandbox=new.sandbox,
    )

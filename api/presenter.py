"""An order as every endpoint shows it.

The answer is put together as text: payload, result, progress and tags are JSON already and go out
as they were stored, to the last digit.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii as quote

import exact_json
from ledger import OrderRow, PastAttempt
from ledger.masking import masked, says_secret
from models import CANCELLED, COMPLETED, FAILED, PENDING, PRIORITY_NAMES, RETRIEVED, WIP

# In a list, longer JSON is cut: its beginning is shown.
LIST_CUT = 2_000
LIST_START = 300

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = {WIP: "running", RETRIEVED: COMPLETED}
_LIVE = (PENDING, WIP)


def moment(milliseconds: int | None) -> str:
    """A time in ms as JSON: RFC 3339 with Z and milliseconds, in quotes, or null."""
    if milliseconds is None:
        return "null"
    return f'"{plain_moment(milliseconds)}"'


def plain_moment(milliseconds: int) -> str:
    """A time in ms as text: RFC 3339 with Z and milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def order(row: OrderRow, *, secrets: bool = False) -> str:
    """The JSON of an order. `secrets` shows its result as it is, for whoever may collect it."""
    return "{" + _fields(row, secrets=secrets) + "}"


def detail(row: OrderRow, past: Sequence[PastAttempt]) -> str:
    """The JSON of an order with its history and links, as operators see it."""
    attempts = ",".join([*map(_attempt, past), *_latest(row)])
    more = f'"crashes":{row.crashes},"history":[{attempts}],"links":{_links(row)}'
    return f"{{{_fields(row)},{more}}}"


def page(rows: Iterable[OrderRow], next_cursor: str | None, searched_to: int | None) -> str:
    """The JSON of a page of orders; `searched_to` is the time (ms) where a search gave up."""
    items = ",".join(map(order, rows))
    cursor = quote(next_cursor) if next_cursor else "null"
    more = "" if searched_to is None else f',"searchedTo":{moment(searched_to)}'
    return f'{{"items":[{items}],"nextCursor":{cursor}{more}}}'


def cut(text: str | None, size: int | None) -> str | None:
    """JSON for a list: what is too long becomes a mark with its length and its beginning.

    `text` is only the beginning of such a one. Nothing is shown of a beginning that names a
    secret.
    """
    if text is None or size is None or size <= LIST_CUT:
        return text
    start = text[:LIST_START]
    shown = "" if says_secret(start) else start
    return f'{{"truncated":true,"length":{size},"start":{quote(shown)}}}'


def cut_error(text: str | None) -> str | None:
    """The JSON of an error for a list: a long one without traceback and output, its message cut."""
    if text is None or len(text) <= LIST_CUT:
        return text
    error = json.loads(text)
    for long in ("traceback", "output"):
        error.pop(long, None)
    if isinstance(error.get("message"), str) and len(error["message"]) > LIST_START:
        error["message"] = error["message"][:LIST_START] + "…"
    return exact_json.dumps(error)


def _fields(row: OrderRow, *, secrets: bool = False) -> str:
    result = "null" if row.result is None else row.result if secrets else masked(row.result)
    text = (
        f'"jobId":"{row.id}","type":{quote(row.type)},"queue":{quote(row.queue)},'
        f'"status":"{row.status}","priority":"{PRIORITY_NAMES[row.priority]}",'
        f'"payload":{masked(row.payload)},"result":{result},"error":{row.error or "null"},'
        f'"attempts":{row.attempts},"maxAttempts":{row.max_attempts},'
        f'"progress":{row.progress or "null"},"worker":{_text(row.worker)},'
        f'"createdOn":{moment(row.created_on)},"runAt":{moment(row.run_at)},'
        f'"startedOn":{moment(row.started_on)},"lastUpdated":{moment(row.last_updated)},'
        f'"completedOn":{moment(row.completed_on)},"retrievedOn":{moment(row.retrieved_on)},'
        f'"executionTimeMs":{_number(row.run_ms)},"owner":{quote(row.owner)},'
        f'"tags":{row.tags or "[]"}'
    )
    for name, value in (
        ("copyOf", row.copy_of),
        ("schedule", row.schedule),
        ("project", row.project),
        ("sandbox", row.sandbox),
    ):
        if value is not None:
            text += f',"{name}":{quote(value)}'
    return text


def _attempt(past: PastAttempt) -> str:
    return (
        f'{{"number":{past.number},"lease":{past.lease},"worker":{_text(past.worker)},'
        f'"startedOn":{moment(past.started_on)},"endedOn":{moment(past.ended_on)},'
        f'"outcome":{quote(past.outcome)},"error":{past.error or "null"}}}'
    )


def _latest(row: OrderRow) -> list[str]:
    """The attempt that the row itself records, once it has begun or ended."""
    if row.manager is None or (row.completed_on is None and row.started_on is None):
        return []
    outcome = _OUTCOMES.get(row.status, row.status)
    return [
        f'{{"number":{row.attempts},"lease":{row.lease},"worker":{_text(row.worker)},'
        f'"startedOn":{moment(row.started_on)},"endedOn":{moment(row.completed_on)},'
        f'"outcome":{quote(outcome)},"error":{row.error or "null"}}}'
    ]


def _links(row: OrderRow) -> str:
    own = f"/api/v1/jobs/{row.id}"
    links = {"self": own, "job": f"/api/v1/job/{row.id}"}
    links |= {name: f"/api/v1/job/{row.id}/{name}" for name in ("status", "result")}
    if row.status in _LIVE:
        links["cancel"] = f"{own}/cancel"
    if row.status in (FAILED, CANCELLED):
        links["retry"] = f"{own}/retry"
    return exact_json.dumps(links)


def _text(value: str | None) -> str:
    return "null" if value is None else quote(value)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


@functools.lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]

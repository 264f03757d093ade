"""A schedule as every endpoint shows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from pydantic import Field

import exact_json
from api.answers import Answer
from api.presenter import cut, moment
from ledger import cron
from ledger.masking import masked
from ledger.schedules import ScheduleRow
from models import PRIORITY_NAMES
from submissions.schema import Priority

NEXT_RUNS = 5


class Schedule(Answer):
    """A schedule. In a list, a long payload is an object with `truncated`."""

    name: str
    expression: str
    timezone: str
    type: str
    payload: Any = Field(description="fields whose name says secret are shown as ***")
    queue: str
    priority: Priority
    max_attempts: int
    timeout: float
    max_silence: float | None
    tags: list[str]
    owner: str
    enabled: bool
    created_on: datetime
    changed_on: datetime
    last_fire: datetime | None = Field(description="the time it was due, not when it was made")
    last_job_id: str | None
    project: str | None = Field(
        description="which says what the orders are, as it is saved by then"
    )
    next_runs: list[datetime] = Field(description="at most five; none while it is paused")


class SchedulePage(Answer):
    """Schedules by name."""

    items: list[Schedule]
    next_cursor: str | None


def schedule(row: ScheduleRow) -> str:
    """The JSON of a schedule."""
    return _text(row, masked(row.payload))


def page(rows: Iterable[ScheduleRow], next_cursor: str | None) -> str:
    """The JSON of a page of schedules."""
    items = ",".join(_text(row, _short(row.payload)) for row in rows)
    cursor = "null" if next_cursor is None else quote(next_cursor)
    return f'{{"items":[{items}],"nextCursor":{cursor}}}'


def _text(row: ScheduleRow, payload: str) -> str:
    silence = None if row.max_silence_ms is None else row.max_silence_ms / 1000
    order = "null" if row.last_order is None else quote(row.last_order)
    runs = ",".join(map(moment, _next_runs(row)))
    return (
        f'{{"name":{quote(row.name)},"expression":{quote(row.expression)},'
        f'"timezone":{quote(row.timezone)},"type":{quote(row.type)},"payload":{payload},'
        f'"queue":{quote(row.queue)},"priority":"{PRIORITY_NAMES[row.priority]}",'
        f'"maxAttempts":{row.max_attempts},"timeout":{exact_json.dumps(row.timeout_ms / 1000)},'
        f'"maxSilence":{exact_json.dumps(silence)},"tags":{row.tags or "[]"},'
        f'"owner":{quote(row.owner)},"enabled":{exact_json.dumps(bool(row.enabled))},'
        f'"createdOn":{moment(row.created_on)},"changedOn":{moment(row.changed_on)},'
        f'"lastFire":{moment(row.last_fire)},"lastJobId":{order},'
        f'"project":{"null" if row.project is None else quote(row.project)},"nextRuns":[{runs}]}}'
    )


def _next_runs(row: ScheduleRow) -> list[int]:
    try:
        return cron.timing(row.expression, row.timezone).runs(row.next_fire, NEXT_RUNS)
    except (cron.BadExpression, cron.BadTimezone):  # the zones of this host are other ones
        return [] if row.next_fire is None else [row.next_fire]


def _short(payload: str) -> str:
    hidden = masked(payload)
    return cut(hidden, len(hidden.encode())) or hidden

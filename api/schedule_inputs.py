"""What requests say of schedules, and the schedule for the ledger that they ask for."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from api import errors, intake
from api.inputs import Body, Digits, Path, Query, Whole
from api.schemas import MAX_PAGE, Cursor
from jobs.registry import NAME
from ledger import cron
from ledger.masking import MASK, says_secret
from ledger.schedules import NewSchedule
from settings import Settings
from submissions.schema import JobSubmission, Name, Priority, Seconds, Tag


def _expression(value: str) -> str:
    try:
        return cron.check_expression(value)
    except cron.BadExpression as error:
        raise PydanticCustomError("expression", "{reason}", {"reason": str(error)}) from None


def _timezone(value: str) -> str:
    try:
        cron.find_zone(value)
    except cron.BadTimezone as error:
        raise PydanticCustomError("timezone", "{reason}", {"reason": str(error)}) from None
    return value


class SchedulePath(Path):
    """The name of a schedule."""

    name: Annotated[Name, Field(examples=["nightly"])]


class Timing(Body):
    """When to make orders."""

    expression: Annotated[
        str,
        Field(
            max_length=200,
            description="five fields of cron such as 30 3 * * MON-FRI, or @daily",
            json_schema_extra={"format": "cron"},
        ),
        AfterValidator(_expression),
    ]
    timezone: Annotated[
        str,
        Field(description="such as Europe/Madrid", json_schema_extra={"format": "timezone"}),
        AfterValidator(_timezone),
    ] = "UTC"
    enabled: bool | None = Field(None, description="left out: as it is, and true for a new one")


class SchedulePlan(Timing):
    """When to make orders, and which; what is left out of the order comes from its type, then from
    the settings, as they are now."""

    type: str = Field(description="GET /api/v1/types lists them")
    payload: dict[str, Any] = Field(description="the arguments of the job")
    queue: Name | None = None
    priority: Priority | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1_000), Whole] | None = None
    timeout: Seconds | None = Field(None, description="seconds for one attempt")
    max_silence: Seconds | None = Field(None, description="seconds without progress")
    tags: list[Tag] = Field(default_factory=list, max_length=20)


_EXAMPLE: JsonDict = {
    "expression": "30 3 * * MON-FRI",
    "timezone": "Europe/Madrid",
    "type": "add",
    "payload": {"num1": 1, "num2": 2},
}


class NewSchedulePlan(SchedulePlan):
    """A new schedule."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "nightly", **_EXAMPLE}]})

    name: Name


class SchedulePut(SchedulePlan):
    """A schedule under the name in the address."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name | None = Field(None, description="if given, that of the address")


class SchedulesQuery(Query):
    """Which page of the list."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Digits] = 50
    cursor: Cursor | None = None


def wanted(settings: Settings, name: str, plan: SchedulePlan) -> NewSchedule:
    """The schedule that a request asks for.

    Raises the 422 for secrets that are not ones, `UnknownType`, `PayloadError`.
    """
    submission = JobSubmission.model_construct(
        **{
            field: getattr(plan, field)
            for field in JobSubmission.model_fields
            if field in SchedulePlan.model_fields
        }
    )
    order = intake.order(settings, "", submission)
    hidden = _hidden(plan.payload, "/payload")
    if hidden:
        message = f"is {MASK}, which is how answers show a secret: send the secret itself"
        raise errors.unacceptable("body", [errors.at(pointer, message) for pointer in hidden])
    return NewSchedule(name, plan.expression, plan.timezone, order, plan.enabled)


def same_name(path: SchedulePath, plan: SchedulePut) -> str:
    """The name in the address. Raises the 422 when the body says another."""
    if plan.name not in (None, path.name):
        message = f"is not the name in the address, {path.name}: leave it out"
        raise errors.unacceptable("body", [errors.at("/name", message)])
    return path.name


def is_name(text: str) -> bool:
    """Whether a schedule may be named so."""
    return re.fullmatch(NAME, text) is not None


def _hidden(value: Any, pointer: str) -> list[str]:
    """Where a secret has been replaced by the mask that answers show in its place."""
    found: list[str] = []
    todo = [(value, pointer, False)]
    while todo:
        one, place, secret = todo.pop()
        if secret and one == MASK:
            found.append(place)
        elif isinstance(one, dict):
            todo += [
                (inner, place + errors.step(name), says_secret(name)) for name, inner in one.items()
            ]
        elif isinstance(one, list):
            todo += [(inner, place + errors.step(nth), False) for nth, inner in enumerate(one)]
    return found

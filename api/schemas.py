"""The requests that the endpoints take, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
)
from pydantic.config import JsonDict, JsonValue
from pydantic_core import PydanticCustomError

from api import errors
from api.inputs import (
    MOST_DIGITS,
    Body,
    Digits,
    Input,
    Listed,
    Moment,
    Path,
    Plain,
    Query,
    Real,
    Whole,
)
from jobs.builtin.add import NUMBER, parse_number
from jobs.errors import MAX_DELAY_SECONDS
from jobs.registry import NAME
from ledger import parse_id

EXAMPLE_ID = "01a2043c-52fd-77a5-b44e-ba90bbd3fe37"
MAX_WAIT = 25
MAX_BULK = 10_000
MAX_PAGE = 500
MAX_LINES = 10_000

Status = Literal["pending", "wip", "completed", "retrieved", "failed", "cancelled"]
Priority = Literal["high", "normal", "low"]
Stream = Literal["stdout", "stderr", "log"]
Level = Literal["debug", "info", "warning", "error", "critical"]


def _no_step(value: str) -> str:
    # /queues/../pause, sent as /pause by most clients, would pause all of them.
    if value in (".", ".."):
        raise PydanticCustomError(
            "step", "must not be . or .., which stand for steps in an address: choose another name"
        )
    return value


Name = Annotated[
    str,
    Field(pattern=f"^{NAME}$", json_schema_extra={"not": {"enum": [".", ".."]}}),
    AfterValidator(_no_step),
]
Cursor = Annotated[
    str,
    Field(
        max_length=500,
        description="nextCursor of the page before, with the same filters",
        json_schema_extra={"format": "cursor"},
    ),
]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Seconds = Annotated[float, Field(gt=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False), Real]
Delay = Annotated[float, Field(ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False), Real]
# PostgreSQL holds no NUL, so nothing by such a name can be found.
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


def _number(value: Any) -> Any:
    try:
        parse_number(value)
    except ValueError as error:
        # As a custom error the message reaches the client unchanged, braces and all.
        raise PydanticCustomError("number", "{reason}", {"reason": str(error)}) from None
    return value


def _job_id(value: str) -> str:
    # Not a ValueError: pydantic lets it through as it is, so a malformed id is a 404.
    found = parse_id(value)
    if found is None:
        raise errors.unknown_order(value)
    return found


def _event_job(value: Any) -> Any:
    # As a filter it may name an order that is gone, but not something that is no id.
    found = parse_id(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("id", "must be the id of an order: GET /api/v1/jobs lists them")
    return found


Number = Annotated[
    str,
    Field(
        description="an integer or a decimal such as 7, -2 or 0.25",
        examples=["0.25"],
        json_schema_extra={"pattern": NUMBER},
    ),
    BeforeValidator(_number),
]


class Sum(Path):
    """Two numbers to be added."""

    num1: Number
    num2: Number


class JobPath(Path):
    """The id of an order."""

    id: Annotated[
        str,
        BeforeValidator(_job_id),
        Field(examples=[EXAMPLE_ID], json_schema_extra={"format": "uuid"}),
    ]


class QueuePath(Path):
    """The name of a queue."""

    name: Annotated[Name, Field(examples=["naps"])]


class Wait(Query):
    """How long to hold the answer."""

    wait: Annotated[
        float | None,
        Field(ge=0, le=MAX_WAIT, description="hold the answer until the order ends: seconds"),
        Plain,
    ] = None


class JobMatch(Query):
    """Which orders are meant."""

    status: Annotated[
        list[Status],
        Field(default_factory=list, max_length=6, description="one or more, comma-separated"),
        Listed,
    ]
    type: Text | None = None
    queue: Text | None = None
    priority: Priority | None = None
    worker: Text | None = None
    tag: Tag | None = None
    owner: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="text in id, type, tags, error, or a value of the payload (up to 64 KiB)",
        ),
    ] = None


class JobFilter(JobMatch):
    """Which orders to list."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Digits] = 50
    cursor: Cursor | None = None


class EventFilter(Query):
    """Which events to list."""

    since: Moment | None = Field(None, description="not before this time")
    kind: Annotated[
        list[Text],
        Field(default_factory=list, max_length=20, description="one or more, comma-separated"),
        Listed,
    ]
    job: (
        Annotated[str, BeforeValidator(_event_job), Field(json_schema_extra={"format": "uuid"})]
        | None
    ) = None
    worker: Text | None = None
    manager: Text | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Digits] = 50
    cursor: Cursor | None = None


class LogFilter(Query):
    """Which lines of an order to show."""

    after: Annotated[
        int, Field(ge=0, le=MOST_DIGITS, description="behind the line of this `seq`"), Digits
    ] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_LINES), Digits] = 1_000
    stream: Annotated[
        list[Stream],
        Field(default_factory=list, max_length=3, description="one or more, comma-separated"),
        Listed,
    ]
    level: Annotated[Level | None, Field(description="what was logged at this level or above")] = (
        None
    )
    attempt: Annotated[int, Field(ge=1, le=MOST_DIGITS), Digits] | None = None


class WorkerList(Query):
    """How many workers to list, and from where on."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Digits] = MAX_PAGE
    cursor: Cursor | None = None


_ONE_TIME: JsonDict = {
    "not": {
        "required": ["runAt", "delay"],
        "properties": {"runAt": {"type": "string"}, "delay": {"type": "number"}},
    }
}


_EXAMPLES: list[JsonValue] = [
    {"type": "add", "payload": {"num1": 0.1, "num2": 0.2}},
    {
        "type": "sleep",
        "payload": {"seconds": 0.2},
        "queue": "naps",
        "priority": "high",
        "delay": 0.1,
        "maxAttempts": 5,
        "timeout": 30,
        "tags": ["demo"],
    },
    {"type": "fail", "payload": {"times": 1, "after": 0, "message": "not yet"}},
]


class JobSubmission(Body):
    """An order to be submitted; what is left out comes from its type, then from the settings."""

    model_config = ConfigDict(json_schema_extra={**_ONE_TIME, "examples": _EXAMPLES})

    type: str = Field(description="GET /api/v1/types lists them")
    payload: dict[str, Any] = Field(description="the arguments of the job")
    queue: Name | None = None
    priority: Priority | None = None
    run_at: Moment | None = Field(None, description="not before this time")
    delay: Delay | None = Field(None, description="seconds from now, instead of runAt")
    max_attempts: Annotated[int, Field(ge=1, le=1_000), Whole] | None = None
    timeout: Seconds | None = Field(None, description="seconds for one attempt")
    max_silence: Seconds | None = Field(None, description="seconds without progress")
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    callback_url: str | None = Field(None, pattern=r"^https?://[!-~]+$", max_length=2_000)

    @field_validator("delay")
    @classmethod
    def _one_time_only(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("run_at") is not None:
            raise PydanticCustomError("exclusive", "must not be given with runAt: remove one")
        return value

    @field_validator("callback_url")
    @classmethod
    def _can_be_called(cls, value: str | None) -> str | None:
        """Whoever submits is still there to be told; the delivery would fail for three days."""
        try:
            parts = urlsplit(value or "http://unset")
            callable_ = bool(parts.hostname) and parts.port != 0
        except ValueError:
            callable_ = False
        if not callable_:
            raise PydanticCustomError("callback_url", "must have a host, and a port up to 65535")
        return value


class JobBatch(
    Input, RootModel[Annotated[list[JobSubmission], Field(min_length=1, max_length=MAX_BULK)]]
):
    """Orders to be submitted together, all or none. Errors name the index, from 0."""

    place = "body"
    item = JobSubmission

"""The requests that the endpoints take, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    RootModel,
)
from pydantic_core import PydanticCustomError

from api import errors
from api.inputs import (
    MOST_DIGITS,
    Digits,
    Input,
    Listed,
    Moment,
    Path,
    Plain,
    Query,
)
from jobs.builtin.add import NUMBER, parse_number
from ledger import parse_id
from submissions.schema import JobSubmission, Name, OrderId, Priority, Tag

EXAMPLE_ID = "01a2043c-52fd-77a5-b44e-ba90bbd3fe37"
MAX_WAIT = 25
MAX_BULK = 10_000
MAX_PAGE = 500
MAX_LINES = 10_000

Status = Literal["pending", "wip", "completed", "retrieved", "failed", "cancelled"]
Stream = Literal["stdout", "stderr", "log"]
Level = Literal["debug", "info", "warning", "error", "critical"]


Cursor = Annotated[
    str,
    Field(
        max_length=500,
        description="nextCursor of the page before, with the same filters",
        json_schema_extra={"format": "cursor"},
    ),
]
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
    job: OrderId | None = None
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


class JobBatch(
    Input, RootModel[Annotated[list[JobSubmission], Field(min_length=1, max_length=MAX_BULK)]]
):
    """Orders to be submitted together, all or none. Errors name the index, from 0."""

    place = "body"
    item = JobSubmission

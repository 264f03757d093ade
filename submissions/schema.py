"""The fields of an order that is submitted."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic.config import JsonDict, JsonValue
from pydantic_core import PydanticCustomError

from jobs.errors import MAX_DELAY_SECONDS
from jobs.registry import NAME
from ledger import parse_id
from submissions.inputs import Body, Moment, Real, Whole

Priority = Literal["high", "normal", "low"]


def _order_id(value: Any) -> Any:
    # It may name an order that is gone, but not something that is no id.
    found = parse_id(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("id", "must be the id of an order: GET /api/v1/jobs lists them")
    return found


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
OrderId = Annotated[str, BeforeValidator(_order_id), Field(json_schema_extra={"format": "uuid"})]
Tag = Annotated[str, Field(min_length=1, max_length=100)]
Seconds = Annotated[float, Field(gt=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False), Real]
Delay = Annotated[float, Field(ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False), Real]

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
    callback_url: (
        Annotated[
            str,
            Field(
                pattern=r"^https?://[!-~]+$",
                max_length=2_000,
                json_schema_extra={"format": "callback"},
            ),
        ]
        | None
    ) = None
    copy_of: OrderId | None = Field(
        None, description="the id of the order that this one runs again, perhaps changed"
    )

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
            is_right = bool(parts.hostname) and parts.port != 0
            is_bare = parts.username is None and parts.password is None
        except ValueError:
            is_right = is_bare = False
        if not is_right:
            raise PydanticCustomError("callback_url", "must have a host, and a port up to 65535")
        if not is_bare:
            raise PydanticCustomError(
                "callback_url", "must have no user and no password, which lists would show"
            )
        return value

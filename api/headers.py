"""The headers that the endpoints understand."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.inputs import Header
from api.schemas import MAX_WAIT
from submissions.orders import KEY, KEY_REMEDY


def _key(value: Any) -> Any:
    found = KEY.fullmatch(value.strip())
    if found is None:
        raise PydanticCustomError("key", KEY_REMEDY)
    return found[1]


class Keyed(Header):
    """What makes a repeated submit harmless."""

    idempotency_key: Annotated[
        str | None,
        Field(
            alias="Idempotency-Key",
            description="a repeat with the same key and body answers the first request again",
            examples=["order-4711"],
            json_schema_extra={"pattern": f"^{KEY.pattern}$"},
        ),
        BeforeValidator(_key),
    ] = None


_PREFER = Field(
    None,
    alias="Prefer",
    description=f"wait=N holds the answer until the order ends, up to {MAX_WAIT} s",
    examples=["wait=0"],
)


class Submitting(Keyed):
    """The same, and how long to hold the answer."""

    prefer: str | None = _PREFER


class Asking(Header):
    """How long to hold the answer, and what is known already."""

    prefer: str | None = _PREFER
    if_none_match: str | None = Field(
        None, alias="If-None-Match", description="an ETag: while it still holds the answer is 304"
    )

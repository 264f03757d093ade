"""What a request may carry: base models, number and time types."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from submissions.breaches import known_fields

_LONGEST_WHOLE = 19
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _whole(value: Any) -> Any:
    # JSON Schema calls 5.0 an integer; a vast exponent must never be expanded.
    if isinstance(value, Decimal) and value.adjusted() < _LONGEST_WHOLE and value == int(value):
        return int(value)
    return value


def _real(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _digits(value: Any) -> Any:
    # pydantic also takes "1_000", " 5 " and "5.0" for an int.
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise PydanticCustomError("digits", "must be a whole number such as 50")
    return value


def _plain(value: Any) -> Any:
    # pydantic also takes "1_0", " 5 ", "inf" and "1e1" for a float.
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", value):
        raise PydanticCustomError("plain", "must be a number such as 5 or 2.5")
    return value


def _moment(value: Any) -> datetime:
    # pydantic alone also takes Unix times, and converts year 1 into an OverflowError later.
    try:
        if isinstance(value, str) and _RFC3339.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "moment", "must be a time of RFC 3339 with its offset, such as 2026-01-31T12:00:00.000Z"
    )


def _split(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    return [part for item in items for part in str(item).split(",") if part]


# Bounds go before these in Annotated: after them pydantic writes them to the schema as "ge", "le".
Whole = BeforeValidator(_whole)
Real = BeforeValidator(_real)
Digits = BeforeValidator(_digits)
MOST_DIGITS = 10**18 - 1
Plain = BeforeValidator(_plain)
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Listed = BeforeValidator(_split)


class Input(BaseModel):
    """Base of all that a request carries; `place` tells how errors name a field."""

    place: ClassVar[Literal["body", "query", "path", "headers"]]
    item: ClassVar[type[Input] | None] = None
    by_title: ClassVar[dict[str, type[Input]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        if cls.__name__ in Input.by_title:
            raise TypeError(f"two input models are named {cls.__name__}: rename one")
        Input.by_title[cls.__name__] = cls

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The JSON Schema, computed once: the library asks for it on every request."""
        return _schema(cls, args, tuple(sorted(kwargs.items())))


@functools.cache
def _schema(
    model: type[Input], args: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    return super(Input, model).model_json_schema(*args, **dict(options))


MOST_FIELDS = 100


class Body(Input):
    """A JSON object: strict types, unknown fields refused."""

    place = "body"
    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _no_flood(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MOST_FIELDS:
            raise PydanticCustomError(
                "flood",
                "has {count} fields, of which only these are known: {known}",
                {"count": len(value), "known": ", ".join(known_fields(cls))},
            )
        return value


class Query(Input):
    """Query parameters: text turned into types. `door` refuses unknown and repeated names."""

    place = "query"
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Path(Input):
    """The variable parts of a path, named as in the route."""

    place = "path"


class Header(Input):
    """Headers that an endpoint understands, by their aliases; any other is let through."""

    place = "headers"

"""What a request may carry: base models, number and time types, and how a breach is told."""

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
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from api import errors

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


# Beyond this many breaches a body is rubbish: they are counted, not named.
MOST_NAMED = 10_000
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


def known_fields(model: type[BaseModel]) -> dict[str, str | None]:
    """The fields of a model as a client writes them, with their descriptions."""
    return {f.alias or name: f.description for name, f in model.model_fields.items()}


def refuse(error: ValidationError) -> Any:
    """The library's callback for a breach of an `Input`: raises the 422 that names each field."""
    model = Input.by_title[error.title]
    known = known_fields(model.item or model)
    if error.error_count() > MOST_NAMED:  # to list millions of them takes seconds
        message = f"has {error.error_count():,} fields that are not acceptable"
        raise errors.unacceptable(model.place, [errors.at("", message)])
    found = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        message = _message(one, known)
        if model.place == "body":
            steps = (errors.step(errors.echo(str(name))) for name in one["loc"])
            found.append(errors.at("".join(steps), message))
        else:
            name = str(one["loc"][0]) if one["loc"] else ""
            found.append(errors.of(errors.echo(name), message))
        if len(found) > errors.MOST_ERRORS:
            break
    raise errors.unacceptable(model.place, found)


def _message(error: Any, known: dict[str, str | None]) -> str:
    name = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            message = "is required: add it"
        case "extra_forbidden":
            return f"is not known here: remove it, or use one of {', '.join(known)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = "must be a JSON object"
        case "string_unicode":
            message = "must be text that UTF-8 can hold: leave out lone surrogates"
        case _:
            message = re.sub(
                r"^(Input|String|List|Value|URL|Tuple|Set) should", "must", error["msg"]
            )
    return f"{message} ({known[name]})" if known.get(name) else message

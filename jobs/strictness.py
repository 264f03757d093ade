"""Makes pydantic as strict about Python values as JSON is about its own.

The values come from JSON text, so they are None, bool, int, float or Decimal, str, list and dict.
pydantic's lax mode would take "5", true and timestamps for one another; its strict mode would
refuse a list for a tuple and text for a datetime. Here a core schema is lax about containers and
strict about scalars.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from exact_json import MAX_DIGITS

MOMENTS = {
    "date": "2030-01-31",
    "time": "23:59:00",
    "datetime": "2030-01-31T23:59:00Z",
    "timedelta": "PT1H30M",
}
"""What stands in JSON for moments and spans of time, by example."""

_NUMBER = re.compile(r"\s*[+-]?[0-9.]*\s*")

# What is data or Python, not a schema, though it may look like one. The keys of a JSON object are
# text, so a key that is annotated as a number stays lax.
_LEAVE = frozenset(
    {"cls", "config", "default", "expected", "keys_schema", "members", "metadata", "serialization"}
)


def strict(schema: Any, *, floats: bool) -> Any:
    """Return a copy of a core schema that takes JSON values only, each as what it is.

    With `floats`, a Decimal where anything may stand becomes a float: for payloads that are read
    with decimals because another field needs them.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(strict(item, floats=floats) for item in schema)
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if not isinstance(kind, str):  # names to schemas
        return {name: strict(item, floats=floats) for name, item in schema.items()}
    if kind == "json-or-python":
        reference = {"ref": schema["ref"]} if "ref" in schema else {}
        return strict(schema["json_schema"], floats=floats) | reference
    inner = {
        key: value if key in _LEAVE else strict(value, floats=floats)
        for key, value in schema.items()
        if key != "strict"
    }
    if isinstance(inner.get("config"), dict):
        inner["config"] = {k: v for k, v in inner["config"].items() if k != "strict"}
    if kind == "union":
        inner["choices"] = _members(schema["choices"], floats=floats)
    if floats:
        _open_ends(kind, inner)
    return _scalar(kind, inner, floats=floats)


def contains(schema: Any, kind: str) -> bool:
    """Whether a core schema has a node of this type anywhere."""
    return any(node.get("type") == kind for node in _nodes(schema))


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        is_node = isinstance(schema.get("type"), str)
        for key, value in schema.items():
            if not (is_node and key in _LEAVE):
                yield from _nodes(value)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from _nodes(item)


def _members(choices: list[Any], *, floats: bool) -> list[Any]:
    """Beside a Decimal an int is digits only, so that 1.0 and 1E+5 stay what they were."""
    kinds = {choice["type"] for choice in choices if isinstance(choice, dict)}
    return [
        choice | {"strict": True}
        if "decimal" in kinds and isinstance(choice, dict) and choice["type"] == "int"
        else strict(choice, floats=floats)
        for choice in choices
    ]


def _open_ends(kind: str, schema: dict[str, Any]) -> None:
    """Give containers of anything a schema for their items, so that Decimals are found there."""
    anything = _before(_as_float, core_schema.any_schema())
    if kind in {"list", "set", "frozenset"}:
        schema.setdefault("items_schema", anything)
    elif kind == "dict":
        schema.setdefault("values_schema", anything)
    elif kind == "typed-dict" and schema.get("extra_behavior") == "allow":
        schema.setdefault("extras_schema", anything)


def _scalar(kind: str, schema: dict[str, Any], *, floats: bool) -> Any:
    if kind == "bool":
        return schema | {"strict": True}
    if kind == "int":
        return _before(_as_integer, schema | {"strict": True})
    if kind == "float":
        return _before(_as_float_number, schema | {"strict": True, "allow_inf_nan": False})
    if kind == "decimal":
        return _before(_as_decimal, schema | {"strict": True})
    if kind in MOMENTS:
        return _before(_text_of_moment(kind), schema)
    if kind == "literal":
        return _before(_same_kind(schema["expected"]), schema)
    if kind == "enum":
        return _before(_same_kind(member.value for member in schema["members"]), schema)
    if kind == "any" and floats:
        return _before(_as_float, schema)
    return schema


def _before(function: Callable[[Any], Any], schema: Any) -> Any:
    # The reference stays outside, where others look for it.
    reference = schema.pop("ref", None)
    return core_schema.no_info_before_validator_function(function, schema, ref=reference)


def _as_integer(value: Any) -> Any:
    """5.0 is an integer, as JSON Schema has it."""
    if type(value) is float and value.is_integer():
        return int(value)
    # The bound keeps 1E+999999999 from becoming an integer of a gigabyte.
    if type(value) is Decimal and value.adjusted() < MAX_DIGITS and value == value.to_integral():
        return int(value)
    return value


def _as_float_number(value: Any) -> Any:
    try:
        return float(value) if type(value) in (Decimal, int) else value
    except OverflowError:
        raise PydanticKnownError("finite_number") from None


def _as_decimal(value: Any) -> Any:
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        return Decimal(repr(value))
    if type(value) is not Decimal:
        raise PydanticKnownError("decimal_type")
    return value


def _as_float(value: Any) -> Any:
    """Turn Decimals, at any depth, into floats."""
    if type(value) is Decimal:
        number = float(value)
        if math.isinf(number):
            raise PydanticKnownError("finite_number")
        return number
    if type(value) is list:
        return [_as_float(item) for item in value]
    if type(value) is dict:
        return {key: _as_float(item) for key, item in value.items()}
    return value


def _text_of_moment(kind: str) -> Callable[[Any], Any]:
    remedy = PydanticCustomError("moment_text", f"must be text such as {MOMENTS[kind]}")

    def text_of_moment(value: Any) -> Any:
        # Digits alone would be taken for seconds since 1970.
        if not isinstance(value, str) or _NUMBER.fullmatch(value):
            raise remedy
        return value

    return text_of_moment


def _same_kind(allowed: Iterable[Any]) -> Callable[[Any], Any]:
    kinds = {_kind(value) for value in allowed}

    def same_kind(value: Any) -> Any:
        # What equals nothing is refused with the list of what is allowed: true is not 1.
        return value if _kind(value) in kinds else object()

    return same_kind


def _kind(value: Any) -> type:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float | Decimal):
        return float
    return str if isinstance(value, str) else type(value)

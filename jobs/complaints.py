"""Says what is wrong with a payload: where, as a JSON pointer, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from jobs.strictness import MOMENTS

ROOT = "/payload"

MAX_COMPLAINTS = 50
"""How many fields are named: a list of a million wrong items needs no million messages."""

MOST_NAMED = 10_000
"""Beyond this many breaches a payload is rubbish: they are counted, not named."""

_MESSAGES = {
    "int_type": "must be an integer, without quotes",
    "float_type": "must be a number, without quotes",
    "decimal_type": "must be a number, without quotes",
    "finite_number": "must be a number within the range of a float (about 1.8e308)",
    "bool_type": "must be true or false, without quotes",
    "string_type": "must be text, in quotes",
    "none_required": "must be null",
    "list_type": "must be a list: [...]",
    "tuple_type": "must be a list: [...]",
    "set_type": "must be a list: [...]",
    "frozen_set_type": "must be a list: [...]",
    "dict_type": "must be an object: {...}",
    "model_type": "must be an object: {...}",
    "dataclass_type": "must be an object: {...}",
    "string_unicode": "must be text that UTF-8 can hold: leave out lone surrogates",
    "uuid_parsing": "must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057",
    "uuid_type": "must be a UUID, in quotes",
}
_MESSAGES |= {
    f"{error}_parsing": f"must be text such as {MOMENTS[kind]}"
    for error, kind in (
        ("date", "date"),
        ("date_from_datetime", "date"),
        ("time", "time"),
        ("datetime", "datetime"),
        ("datetime_from_date", "datetime"),
        ("time_delta", "timedelta"),
    )
}
_MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}
_UNKNOWN_FIELD = {"extra_forbidden", "unexpected_keyword_argument"}


def complaints(error: ValidationError, payload: Any, known: Sequence[str]) -> list[tuple[str, str]]:
    """Turn pydantic's errors into pairs of pointer and message, one a field.

    `known` are the fields that the job takes. No message repeats a value of the payload.
    """
    if error.error_count() > MOST_NAMED:  # to list millions of them takes seconds
        return [(ROOT, f"has {error.error_count():,} fields or items that are not acceptable")]
    found: dict[str, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        pointer = _pointer(one, payload)
        if pointer not in found and len(found) == MAX_COMPLAINTS:
            break
        messages = found.setdefault(pointer, [])
        message = _message(one, known)
        if message not in messages:  # each member of a union complains
            messages.append(message)
    return [(pointer, " or ".join(messages)) for pointer, messages in found.items()]


def _pointer(error: ErrorDetails, payload: Any) -> str:
    """Follow an error's location through the payload, past the names of union members."""
    parts = []
    value: Any = payload
    steps: tuple[Any, ...] = error["loc"]
    for left, step in enumerate(steps, 1 - len(steps)):
        keys = range(len(value)) if isinstance(value, list) else value
        if isinstance(value, dict | list) and step in keys:
            value = value[step]
        elif left or error["type"] not in _MISSING:
            continue
        parts.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "/".join([ROOT, *parts])


def _message(error: ErrorDetails, known: Sequence[str]) -> str:
    kind = error["type"]
    if kind in _UNKNOWN_FIELD:
        fields = f"the fields are {', '.join(known)}" if known else "this type takes no fields"
        nested = len(error["loc"]) > 1
        return "is unknown: leave it out" if nested else f"is unknown: {fields}"
    if kind in _MISSING:
        return "is required: add it"
    if kind == "union_tag_invalid":  # pydantic's own words repeat the tag
        return f"must have one of the tags {error['ctx']['expected_tags']}"
    text = _MESSAGES.get(kind) or error["msg"]
    return text.removeprefix("Value error, ").replace("Input should", "should", 1)

"""How it is told what is wrong with something sent: where, and how to put it right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from jobs.errors import PayloadError, UnknownType

MOST_ERRORS = 100
ECHO = 60
# Beyond this many breaches a body is rubbish: they are counted, not named.
MOST_NAMED = 10_000

FieldErrors = Sequence[Mapping[str, str]]


class Breach(NamedTuple):
    """A field that is not as it must be: the steps to it, and what is wrong."""

    steps: tuple[Any, ...]
    message: str


def echo(text: str) -> str:
    """What a client sent, cut, for an answer that names it."""
    return text if len(text) <= ECHO else f"{text[:ECHO]}…"


def at(pointer: str, message: str) -> dict[str, str]:
    """A bad field of the body, by its JSON pointer."""
    return {"pointer": pointer, "message": message}


def of(parameter: str, message: str) -> dict[str, str]:
    """A bad parameter or header, by its name."""
    return {"parameter": parameter, "message": message}


def step(name: object) -> str:
    """One step of a JSON pointer."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def type_errors(error: UnknownType, prefix: str = "") -> list[dict[str, str]]:
    """What an unknown type of an order means for the one who sent it."""
    known = ", ".join(error.known) or "none"
    return [at(f"{prefix}/type", f"{echo(error.name)!r} is not a job type: known are {known}")]


def payload_errors(error: PayloadError, prefix: str = "") -> list[dict[str, str]]:
    """What is wrong with a payload, for the one who sent it."""
    return [at(f"{prefix}{_cut(pointer)}", message) for pointer, message in error.errors]


def not_acceptable(place: str, errors: FieldErrors) -> str:
    """One sentence on bad fields of the `place` (body, query, path, headers)."""
    count = f"{len(errors)} fields are" if len(errors) > 1 else "one field is"
    if len(errors) > MOST_ERRORS:
        count = f"more than {MOST_ERRORS} fields are"
    return f"In the {place} {count} not acceptable: see errors."


def unreadable(reason: str) -> str:
    """One sentence on a body that is no JSON."""
    return f"The body cannot be read: {reason}."


def known_fields(model: type[BaseModel]) -> dict[str, str | None]:
    """The fields of a model as a client writes them, with their descriptions."""
    return {f.alias or name: f.description for name, f in model.model_fields.items()}


def breaches(error: ValidationError, known: dict[str, str | None]) -> list[Breach]:
    """What is wrong, field by field, one more than is shown at most; `known` as `known_fields`."""
    if error.error_count() > MOST_NAMED:  # to list millions of them takes seconds
        return [Breach((), f"has {error.error_count():,} fields that are not acceptable")]
    found = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        found.append(Breach(one["loc"], _message(one, known)))
        if len(found) > MOST_ERRORS:
            break
    return found


def in_body(found: Sequence[Breach]) -> list[dict[str, str]]:
    """Those by their JSON pointers."""
    return [at("".join(step(echo(str(name))) for name in one.steps), one.message) for one in found]


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


def _cut(pointer: str) -> str:
    return pointer if len(pointer) <= 4 * ECHO else f"{pointer[: 4 * ECHO]}…"

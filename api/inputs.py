"""What a request may carry, and the answer to one that carries something else."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from api import errors
from submissions.breaches import MOST_NAMED, breaches, in_body, known_fields
from submissions.inputs import (
    MOST_DIGITS,
    MOST_FIELDS,
    Body,
    Digits,
    Header,
    Input,
    Listed,
    Moment,
    Path,
    Plain,
    Query,
    Real,
    Whole,
)

__all__ = [
    "MOST_DIGITS",
    "MOST_FIELDS",
    "Body",
    "Digits",
    "Header",
    "Input",
    "Listed",
    "Moment",
    "Path",
    "Plain",
    "Query",
    "Real",
    "Whole",
    "refuse",
]


def refuse(error: ValidationError) -> Any:
    """The library's callback for a breach of an `Input`: raises the 422 that names each field."""
    model = Input.by_title[error.title]
    found = breaches(error, known_fields(model.item or model))
    if model.place == "body" or error.error_count() > MOST_NAMED:
        raise errors.unacceptable(model.place, in_body(found))
    named = [(str(one.steps[0]) if one.steps else "", one.message) for one in found]
    raise errors.unacceptable(
        model.place, [errors.of(errors.echo(name), message) for name, message in named]
    )

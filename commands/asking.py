"""What a command asks for, by the rules of HTTP and in the words of its options."""

from __future__ import annotations

from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from api.errors import ApiError
from api.inputs import refuse

Model = TypeVar("Model", bound=BaseModel)


def validated(kind: type[Model], fields: dict[str, Any]) -> Model:
    """Fields by the same rules as over HTTP; raises `UsageError` that names the options."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        try:
            refuse(error)
        except ApiError as refusal:
            raise usage_error(refusal) from None
        raise


def usage_error(refusal: ApiError) -> click.UsageError:
    """What HTTP would refuse, in the words of options."""
    return click.UsageError("; ".join(map(_said, refusal.errors)))


def _said(error: Any) -> str:
    name = error.get("parameter") or error.get("pointer", "").lstrip("/")
    option = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
    return f"--{option} {error['message']}"

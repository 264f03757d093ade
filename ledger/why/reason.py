"""A reason why an order does not run, or end."""

from __future__ import annotations

from typing import Any, NamedTuple


class Moment(int):
    """A time in ms among the facts, apart from other numbers."""


class Reason(NamedTuple):
    """What it is (`code` for programs), what to do, and the facts: names as in the database."""

    code: str
    message: str
    remedy: str
    facts: dict[str, Any]


def reason(code: str, message: str, remedy: str, **facts: Any) -> Reason:
    """A reason with these facts; those that are not known are left out."""
    return Reason(code, message, remedy, {k: v for k, v in facts.items() if v is not None})

"""The text of a submit: JSON that loses no digit, within bounds."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import exact_json

MAX_BYTES = 1 << 20

# 1e4000 takes six characters and 4001 digits: what a body may grow by when it is written out.
MAX_GROWTH = 1 << 20
_EXPONENT = re.compile(rb"[0-9][eE][+-]?[0-9]{2}")


class Malformed(ValueError):
    """It is no JSON document that can be read; the text says why."""


class Growing(ValueError):
    """It has numbers that would take too many digits."""


def parsed(body: bytes) -> Any:
    """The value of a JSON text, its numbers exact. Raises `Malformed`, `Growing`."""
    try:
        value = exact_json.loads(
            body, decimals=True, unique_keys=True, max_depth=exact_json.MAX_DEPTH
        )
    except exact_json.BadJson as error:
        raise Malformed(str(error)) from None
    if _EXPONENT.search(body) and _growth(value) > MAX_GROWTH:
        raise Growing("has numbers whose exponents add up to too many digits: send them as text")
    return value


def _growth(value: Any) -> int:
    """How many zeros it takes to write the decimals in a value without exponents."""
    total = 0
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo.extend(one.values())
        elif isinstance(one, list):
            todo.extend(one)
        elif isinstance(one, Decimal):
            _, digits, exponent = one.as_tuple()
            zeros = max(int(exponent), -int(exponent) - len(digits), 0)
            total += min(zeros, exact_json.MAX_DIGITS)
    return total

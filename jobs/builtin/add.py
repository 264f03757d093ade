"""The sum of two numbers, added exactly in decimal."""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from exact_json import MAX_DIGITS
from jobs import Context, Fail, job

NUMBER = rf"^[+-]?[0-9]{{1,{MAX_DIGITS}}}(\.[0-9]{{1,{MAX_DIGITS}}})?$"
"""What `parse_number` reads, for who describes it."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_LIMIT = 10**MAX_DIGITS

# Room for the widest sum: all digits before the point, all places after it, and a carry.
_EXACT = decimal.Context(prec=2 * MAX_DIGITS + 1, traps=[decimal.Inexact])


def _written_out(number: int | Decimal) -> int | Decimal:
    if isinstance(number, int):
        if not -_LIMIT < number < _LIMIT:
            raise ValueError(_TOO_LONG)
        return number
    exponent = int(number.as_tuple().exponent)
    if exponent > 0:
        raise ValueError("must be written without an exponent: 1200 instead of 1.2e3")
    if exponent < -MAX_DIGITS or number.adjusted() >= MAX_DIGITS:
        raise ValueError(_TOO_LONG)
    return number


_TOO_LONG = f"must have at most {MAX_DIGITS} digits before the point and as many after it: round it"

Number = Annotated[
    int | Decimal,
    AfterValidator(_written_out),
    Field(description="An integer or a decimal, signed, without an exponent"),
]


def parse_number(text: str) -> int | Decimal:
    """Read a number of a URL: digits with a sign or a fraction if need be, nothing else.

    Raises ValueError whose message completes "the number …" and says the remedy.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(
            "must be digits, with a sign or a fraction if need be, such as 7, -2 or 0.25: no "
            "exponent, no NaN or infinity, digits on both sides of the point"
        )
    whole, _, places = text.lstrip("+-").partition(".")
    if max(len(whole), len(places)) > MAX_DIGITS:
        raise ValueError(_TOO_LONG)
    return Decimal(text) if places else int(text)


@job("add")
def add(_context: Context, num1: Number, num2: Number) -> int | Decimal:
    """Add two numbers, exactly: 0.1 and 0.2 make 0.3, and 1.50 and 1.50 make 3."""
    if isinstance(num1, int) and isinstance(num2, int):
        total = num1 + num2
        if -_LIMIT < total < _LIMIT:
            return total
    else:
        exact = _shortest(_EXACT.add(num1, num2))
        if exact.adjusted() < MAX_DIGITS:
            return exact
    raise Fail(f"the sum has more than {MAX_DIGITS} digits: add smaller numbers")


def _shortest(number: Decimal) -> Decimal:
    """Drop the zeros at the end of the fraction, and the sign of a zero."""
    if not number:
        return Decimal(0)
    whole = number.to_integral_value()
    return whole if whole == number else number.normalize(_EXACT)

"""JSON whose numbers arrive as they were sent.

Integers keep every digit, decimals are `Decimal` where asked for, NaN and Infinity exist in
neither direction, and whatever is wrong is one exception, `BadJson`. Text written here is compact
and pure ASCII: a NUL or a lone surrogate inside a string is an escape, harmless to any database.

Of two equal keys in one object the last wins, unless `loads` is told to refuse them. As in the
standard library, keys that are numbers, booleans or None are written as strings, tuples as arrays.
"""

from __future__ import annotations

import json
import json.encoder
import math
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import simplejson

MAX_DIGITS = 4300
"""Longest integer that is read or written: Python's own limit on int from and to text."""

MAX_DEPTH = 100
"""What a door to the outside passes as `max_depth`, so that every later walk of it has room."""

MAX_SHOWN = 60
"""How much of a name that came from outside a message repeats."""

_SPACE = " \t\n\r"


class BadJson(ValueError):
    """The text is not JSON, or the value cannot be JSON; the message names the remedy."""


class RepeatedKey(BadJson):
    """An object has two members of one name."""


def loads(
    text: str | bytes | bytearray,
    *,
    decimals: bool = False,
    unique_keys: bool = False,
    max_depth: int | None = None,
) -> Any:
    """Read one JSON document, from text or from UTF-8 bytes.

    Numbers with a fraction or an exponent become `Decimal` with exactly their digits when
    `decimals` is true, else float. Arrays and objects nested deeper than `max_depth` are refused,
    and with `unique_keys` objects that name a member twice (`RepeatedKey`). Raises `BadJson`.
    """
    decoder = _DECODERS[decimals, unique_keys]
    try:
        if not isinstance(text, str):
            text = text.decode()
        start = len(text) - len(text.lstrip(_SPACE)) if text[:1] in _SPACE else 0
        value, end = decoder.raw_decode(text, start)
        if end != len(text) and (rest := text[end:].lstrip(_SPACE)):
            raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
    except BadJson:
        raise
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise BadJson(f"not JSON: {error.msg}: {place}") from None
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8 at byte {error.start}: send JSON as UTF-8") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ArithmeticError:
        raise BadJson("a number has an exponent that cannot be held: write it smaller") from None
    except ValueError:
        raise _too_long() from None
    if max_depth is not None:
        _check_depth(value, text, max_depth)
    return value


def dumps(value: Any, *, max_depth: int | None = None) -> str:
    """Write a value as compact ASCII JSON; a `Decimal` becomes a bare number with its digits.

    A Decimal is written without an exponent unless that would take more than 4300 digits.
    Raises `BadJson` for anything that JSON cannot hold, and for deeper nesting than `max_depth`.
    """
    if type(value) is Decimal:  # what a sum returns: three times as quick as the whole way
        return _digits(value)
    text = _write(value, _encode, _DECIMAL_ENCODER)
    if max_depth is not None:
        _check_depth(value, text, max_depth)
    return text


def canonical(value: Any) -> str:
    """Write a value with its keys sorted: equal values give equal text, to be digested.

    Equal means equal as written: 1, 1.0 and 1.00 are three texts. Raises `BadJson`.
    """
    return _write(value, _encode_sorted, _SORTED_DECIMAL_ENCODER)


class _DecimalFound(Exception):
    """The standard library's encoder met a Decimal."""


def _write(value: Any, encode: Callable[[Any], str], with_decimals: simplejson.JSONEncoder) -> str:
    try:
        try:
            return encode(value)
        except _DecimalFound:
            return str(with_decimals.encode(value))
    except BadJson:
        raise
    except RecursionError:
        raise _too_deep(None) from None
    except TypeError as error:
        raise BadJson(f"not JSON: {error}") from None
    except ValueError as error:
        if "digits" in str(error):
            raise _too_long() from None
        raise BadJson("NaN and Infinity are not JSON: use null or text instead") from None


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadJson("a number is beyond the range of a float (about 1.8e308): write it smaller")
    return number


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        ((name, times),) = Counter(name for name, _ in members).most_common(1)
        shown = json.dumps(name if len(name) <= MAX_SHOWN else name[:MAX_SHOWN] + "...")
        raise RepeatedKey(f"an object has {shown} {times} times: keep one of them")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not JSON: use null or text instead")


def _signal_decimal(value: Any) -> NoReturn:
    if isinstance(value, Decimal):
        raise _DecimalFound
    _refuse(value)


def _raw_decimal(value: Any) -> simplejson.RawJSON:
    if not isinstance(value, Decimal):
        _refuse(value)
    return simplejson.RawJSON(_digits(value))


def _digits(value: Decimal) -> str:
    if not value.is_finite():
        raise BadJson("NaN and Infinity are not JSON: use null or text instead")
    # The bound keeps 1E+999999999, which is a short number, from becoming a gigabyte of zeros.
    plain = -MAX_DIGITS < value.adjusted() < MAX_DIGITS
    return format(value, "f" if plain else "E")


def _refuse(value: Any) -> NoReturn:
    raise BadJson(
        f"a value of type {type(value).__name__} is not JSON: use dict, list, str, int, float, "
        "Decimal, bool or None"
    )


def _too_long() -> BadJson:
    return BadJson(f"an integer has more than {MAX_DIGITS} digits: send it as text")


def _too_deep(limit: int | None) -> BadJson:
    more = f"more than {limit} levels" if limit else "too many levels, or refers to itself"
    return BadJson(f"the nesting of arrays and objects has {more}: make it flatter")


def _check_depth(value: Any, text: str, limit: int) -> None:
    # No text is nested deeper than it has opening brackets, which are quickly counted.
    if text.count("{") + text.count("[") <= limit:
        return
    level = [value] if isinstance(value, dict | list | tuple) else []
    for _ in range(limit):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list | tuple)
        ]
        if not level:
            return
    raise _too_deep(limit)


def _encoder(*, sort_keys: bool) -> Callable[[Any], str]:
    """A compact ASCII encoder, on the C encoder itself where there is one.

    `JSONEncoder.encode` builds a new C encoder at every call, which costs more than the encoding
    of a small object. Without the markers a circular value ends as a RecursionError.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(
            check_circular=False,
            allow_nan=False,
            sort_keys=sort_keys,
            separators=(",", ":"),
            default=_signal_decimal,
        ).encode
    quote = json.encoder.encode_basestring_ascii
    chunks = make(None, _signal_decimal, quote, None, ":", ",", sort_keys, False, False)

    def encode(value: Any) -> str:
        return "".join(chunks(value, 0))

    return encode


def _decimal_encoder(*, sort_keys: bool) -> simplejson.JSONEncoder:
    return simplejson.JSONEncoder(
        check_circular=False,
        allow_nan=False,
        sort_keys=sort_keys,
        separators=(",", ":"),
        use_decimal=False,  # it would switch to exponents; _raw_decimal does not
        namedtuple_as_object=False,
        encoding=None,  # type: ignore[arg-type]  # bytes are refused; the stubs know only str
        default=_raw_decimal,
    )


# By whether decimals are exact, and whether keys must be unique.
_DECODERS = {
    (decimals, unique_keys): json.JSONDecoder(
        parse_float=Decimal if decimals else _float,
        parse_constant=_no_constant,
        object_pairs_hook=_unique if unique_keys else None,
    )
    for decimals in (False, True)
    for unique_keys in (False, True)
}
_encode = _encoder(sort_keys=False)
_encode_sorted = _encoder(sort_keys=True)
_DECIMAL_ENCODER = _decimal_encoder(sort_keys=False)
_SORTED_DECIMAL_ENCODER = _decimal_encoder(sort_keys=True)

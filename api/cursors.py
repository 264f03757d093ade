"""Cursors of lists: where the next page begins, bound to the filters they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import exact_json
from ledger import unpack

_DIGEST = 8
_ID = 16
_NUMBER = 8
_GREATEST = 2**62
_NONE_OF_OURS = "is not a cursor of this list: begin without one"


class BadCursor(ValueError):
    """The cursor is none of ours, or was made for other filters."""


def make(last_id: str, filters: Mapping[str, Any]) -> str:
    """The opaque text from which `read` gets this id back, given equal filters."""
    return _made(bytes.fromhex(last_id.replace("-", "")), filters)


def make_of_numbers(numbers: Sequence[int], filters: Mapping[str, Any]) -> str:
    """The same of some whole numbers from 0 to 2^62, for `read_numbers`."""
    return _made(b"".join(number.to_bytes(_NUMBER) for number in numbers), filters)


def read(cursor: str, filters: Mapping[str, Any]) -> str:
    """The id after which the page begins. Raises `BadCursor`, whose text says the remedy."""
    return next(iter(unpack(_content(cursor, filters, _ID))))


def read_numbers(cursor: str, filters: Mapping[str, Any], count: int) -> list[int]:
    """So many numbers behind which the page begins. Raises `BadCursor`."""
    raw = _content(cursor, filters, count * _NUMBER)
    numbers = [int.from_bytes(raw[at : at + _NUMBER]) for at in range(0, len(raw), _NUMBER)]
    if max(numbers) > _GREATEST:
        raise BadCursor(_NONE_OF_OURS)
    return numbers


def make_of_name(name: str) -> str:
    """The opaque text from which `read_name` gets this name back; of a list without filters."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def read_name(cursor: str, is_name: Callable[[str], bool]) -> str:
    """The name behind which the page begins, if `is_name` takes it for one. Raises `BadCursor`."""
    try:
        name = _decoded(cursor).decode()
    except UnicodeDecodeError:
        name = ""
    if not is_name(name):
        raise BadCursor(_NONE_OF_OURS)
    return name


def _decoded(cursor: str) -> bytes:
    """What the text stands for; nothing when it is none of ours."""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _made(content: bytes, filters: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(content + _digest(filters)).decode()


def _content(cursor: str, filters: Mapping[str, Any], size: int) -> bytes:
    raw = _decoded(cursor)
    if len(raw) != size + _DIGEST:
        raise BadCursor(_NONE_OF_OURS)
    if raw[size:] != _digest(filters):
        raise BadCursor("was made for other filters: repeat those, or begin without a cursor")
    return raw[:size]


def _digest(filters: Mapping[str, Any]) -> bytes:
    text = exact_json.canonical({k: v for k, v in filters.items() if v is not None})
    return hashlib.sha256(text.encode()).digest()[:_DIGEST]

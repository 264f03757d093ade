"""Cursors of lists: where the next page begins, bound to the filters they were made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import exact_json
from ledger import unpack

_DIGEST = 8
_ID = 16


class BadCursor(ValueError):
    """The cursor is none of ours, or was made for other filters."""


def make(last_id: str, filters: Mapping[str, Any]) -> str:
    """The opaque text from which `read` gets this id back, given equal filters."""
    raw = bytes.fromhex(last_id.replace("-", "")) + _digest(filters)
    return base64.urlsafe_b64encode(raw).decode()


def read(cursor: str, filters: Mapping[str, Any]) -> str:
    """The id after which the page begins. Raises `BadCursor`, whose text says the remedy."""
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _ID + _DIGEST:
        raise BadCursor("is not a cursor of this list: begin without one")
    if raw[_ID:] != _digest(filters):
        raise BadCursor("was made for other filters: repeat those, or begin without a cursor")
    return next(iter(unpack(raw[:_ID])))


def _digest(filters: Mapping[str, Any]) -> bytes:
    text = exact_json.canonical({k: v for k, v in filters.items() if v is not None})
    return hashlib.sha256(text.encode()).digest()[:_DIGEST]

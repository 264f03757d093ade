"""Hides what is secret in JSON text: fields whose name says so are shown as `***`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import exact_json

MASK = "***"

_SECRET = re.compile(
    r"passw(?:or)?d|passphrase|token|secret|authori[sz]ation|api[-_ .]?key|credential"
    r"|private[-_ .]?key|access[-_ .]?key|cookie",
    re.IGNORECASE,
)


def says_secret(name: str) -> bool:
    """Whether a field of this name is kept secret."""
    return _SECRET.search(name) is not None


def masked(text: str) -> str:
    """The same JSON with every secret field's value, at any depth, as `***`.

    Text without any such name, which is nearly all, comes back as it is: no digit can get lost.
    """
    if _SECRET.search(text) is None:
        return text
    value = exact_json.loads(text, decimals=True)
    hidden, found = _mask(value)
    return exact_json.dumps(hidden) if found else text


def values(text: str) -> Iterator[str]:
    """Every value in a JSON text, masked ones masked, as text to be searched."""
    todo = [exact_json.loads(masked(text), decimals=True)]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, str):
            yield value
        elif isinstance(value, int | Decimal):  # true and false as well
            yield exact_json.dumps(value)


def _mask(value: Any) -> tuple[Any, bool]:
    if isinstance(value, dict):
        found = False
        shown = {}
        for name, inner in value.items():
            if says_secret(name):
                shown[name], hit = MASK, True
            else:
                shown[name], hit = _mask(inner)
            found = found or hit
        return shown, found
    if isinstance(value, list):
        pairs = [_mask(inner) for inner in value]
        return [inner for inner, _ in pairs], any(hit for _, hit in pairs)
    return value, False

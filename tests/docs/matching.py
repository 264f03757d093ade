"""Whether a command printed what its page shows.

What differs from run to run matches anything of its kind: ids, times, durations, names of workers,
and in JSON the numbers whose name ends in `Ms`, `Seconds`, `PerMinute`, `Percent` or `Mb`, or is
`idle`, `done` or `pid`. `…` matches anything.
"""

from __future__ import annotations

import json
import re
from typing import Any

_KINDS = (
    ("id", re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")),
    ("request", re.compile(r"\b[0-9a-f]{16}\b")),
    ("time", re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?")),
    ("worker", re.compile(r"[\w.-]+:\d+:[0-9a-f]{6}(/\d+)?")),
    ("duration", re.compile(r"\b\d\d+:\d\d:\d\d\b")),
    ("milliseconds", re.compile(r"\b\d+ ms\b")),
)
_VOLATILE = re.compile(r".*(Ms|Seconds|PerMinute|Percent|Mb)|idle|done|pid")
ANYTHING = "…"


def text_matches(shown: str, printed: str) -> bool:
    """Whether this text, line by line but for blanks at line ends, is what was printed."""
    pattern = re.escape(_plain(shown)).replace(re.escape(ANYTHING), ".*")
    return re.fullmatch(pattern, _plain(printed), re.DOTALL) is not None


def json_matches(shown: str, printed: str) -> bool:
    """Whether this JSON document says what was printed."""
    return _same(json.loads(shown), json.loads(printed))


def _same(shown: Any, printed: Any) -> bool:
    if shown == ANYTHING:
        return True
    if isinstance(shown, dict) and isinstance(printed, dict):
        return shown.keys() == printed.keys() and all(
            _is_volatile(name, value, printed[name]) or _same(value, printed[name])
            for name, value in shown.items()
        )
    if isinstance(shown, list) and isinstance(printed, list):
        return len(shown) == len(printed) and all(map(_same, shown, printed))
    if isinstance(shown, str) and isinstance(printed, str):
        return text_matches(shown, printed)
    return type(shown) is type(printed) and shown == printed


def _is_volatile(name: str, shown: Any, printed: Any) -> bool:
    numbers = isinstance(shown, int | float) and isinstance(printed, int | float)
    return numbers and _VOLATILE.fullmatch(name) is not None


def _plain(text: str) -> str:
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    for kind, pattern in _KINDS:
        text = pattern.sub(f"<{kind}>", text)
    return text

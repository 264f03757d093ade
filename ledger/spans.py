"""Lengths of time as people say them."""

from __future__ import annotations

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def span(milliseconds: int) -> str:
    """Such as `350 ms`, `4.2 s`, `2 min 5 s`, `3 h 20 min` or `2 d 4 h`."""
    ms = max(0, milliseconds)
    if ms < _SECOND:
        return f"{ms} ms"
    if ms < _MINUTE - 50:
        return f"{ms / _SECOND:.1f}".removesuffix(".0") + " s"
    for unit, name, part, part_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", _SECOND, "s"),
    ):
        parts = (ms + part // 2) // part
        whole, rest = divmod(parts, unit // part)
        if whole:
            return f"{whole} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{ms // _SECOND} s"

"""Plain tables for a terminal: columns as wide as what is in them, two spaces apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTHING = "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines of text; None is a dash, and columns of numbers are set to the right."""
    cells = [[NOTHING if one is None else str(one) for one in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    right = [
        bool(cells) and all(_is_number(row[place]) for row in cells) for place in range(len(heads))
    ]
    return "\n".join(_line(row, widths, right) for row in (list(heads), *cells))


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        one.rjust(width) if to_right else one.ljust(width)
        for one, width, to_right in zip(row, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _is_number(text: str) -> bool:
    return text == NOTHING or text.replace(".", "", 1).isdigit()

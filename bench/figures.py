"""What a scenario answers."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """One measured number, with its unit and how many decimals mean something."""

    name: str
    value: float
    unit: str
    digits: int = 0

"""What a scenario answers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One measured number, with its unit and how many decimals mean something."""

    name: str
    value: float
    unit: str
    digits: int = 0


def percentile(values: Sequence[float], percent: int) -> float:
    """That percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

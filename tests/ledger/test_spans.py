"""Lengths of time as people say them."""

from __future__ import annotations

import pytest

from ledger.spans import span


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (350, "350 ms"),
        (1_000, "1 s"),
        (4_200, "4.2 s"),
        (59_949, "59.9 s"),
        (59_960, "1 min"),
        (125_000, "2 min 5 s"),
        (3_599_600, "1 h"),
        (12_000_000, "3 h 20 min"),
        (86_399_000, "1 d"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_a_span_is_said_in_its_two_largest_parts(milliseconds: int, said: str) -> None:
    assert span(milliseconds) == said

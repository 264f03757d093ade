"""What becomes of an order after an attempt: a table, and what holds for all of it."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import MAX_CRASHES
from manager.outcome import (
    CRASHED,
    ERROR,
    FATAL,
    HANDED_BACK,
    SUCCEEDED,
    TIMED_OUT,
    UNKNOWN_TYPE,
    Outcome,
    Usage,
)
from manager.retry import UNKNOWN_TYPE_DELAY_MS, decide
from models import COMPLETED, FAILED, MOVES, PENDING, WIP
from tests.manager.by_hand import assignment

HOUR_MS = 3_600_000


def chance(seed: int = 1) -> random.Random:
    return random.Random(seed)


@pytest.mark.parametrize(
    ("kind", "attempts", "crashes", "most", "to"),
    [
        (SUCCEEDED, 1, 0, 3, COMPLETED),
        (SUCCEEDED, 9, 0, 3, COMPLETED),
        (ERROR, 1, 0, 3, PENDING),
        (ERROR, 2, 0, 3, PENDING),
        (ERROR, 3, 0, 3, FAILED),
        (ERROR, 4, 0, 3, FAILED),
        (ERROR, 1, 0, 1, FAILED),
        (ERROR, 3, 1, 3, PENDING),  # a crash uses no attempt up
        (ERROR, 4, 1, 3, FAILED),
        (ERROR, 4, 2, 3, PENDING),
        (ERROR, 5, 2, 3, FAILED),
        (TIMED_OUT, 1, 0, 3, PENDING),
        (TIMED_OUT, 3, 0, 3, FAILED),
        (TIMED_OUT, 3, 1, 3, PENDING),
        (FATAL, 1, 0, 3, FAILED),
        (FATAL, 1, 0, 1_000, FAILED),
        (HANDED_BACK, 1, 0, 1, PENDING),
        (HANDED_BACK, 3, 0, 3, PENDING),
        (UNKNOWN_TYPE, 1, 0, 1, PENDING),
        (UNKNOWN_TYPE, 9, 0, 3, PENDING),
    ],
)
def test_the_move(kind: str, attempts: int, crashes: int, most: int, to: str) -> None:
    order = assignment(attempts=attempts, crashes=crashes, max_attempts=most)
    ending = decide(order, Outcome(kind, 0.5, "3" if kind == SUCCEEDED else None), chance())
    assert ending.to == to
    assert ending.number == attempts
    assert (ending.id, ending.lease, ending.type, ending.queue) == (order.id, 1, "add", "default")
    assert ending.outcome == kind
    assert not ending.crashed


def test_a_success_keeps_its_result_and_has_no_error() -> None:
    ending = decide(assignment(), Outcome(SUCCEEDED, 0.0125, '"r"'), chance())
    assert (ending.result, ending.error, ending.run_ms) == ('"r"', None, 12)
    assert ending.delay_ms is None
    assert not ending.uncounted


def test_a_hand_back_gives_the_attempt_back_and_keeps_the_place_in_line() -> None:
    ending = decide(assignment(), Outcome(HANDED_BACK), chance())
    assert ending.uncounted
    assert ending.delay_ms is None
    assert ending.error is None
    assert ending.kind == HANDED_BACK
    assert not ending.keeps_history, "it never began"


def test_an_unknown_type_waits_half_a_minute_for_a_manager_that_knows_it() -> None:
    ending = decide(assignment(), Outcome(UNKNOWN_TYPE, message="unknown"), chance())
    assert ending.uncounted
    assert ending.delay_ms == UNKNOWN_TYPE_DELAY_MS == 30_000
    assert ending.kind == UNKNOWN_TYPE


def test_an_error_is_told_whether_it_is_retried_or_not() -> None:
    outcome = Outcome(ERROR, 1.0, error_type="ValueError", message="wrong", traceback="Trace")
    told = {"type": "ValueError", "message": "wrong", "traceback": "Trace"}
    for attempts in (1, 3):
        ending = decide(assignment(attempts=attempts), outcome, chance())
        assert ending.error is not None
        assert json.loads(ending.error) == told
        assert ending.run_ms == 1_000
        assert not ending.uncounted
    assert decide(assignment(), outcome, chance()).kind == "retrying"


@pytest.mark.parametrize(
    ("attempts", "crashes", "most", "to"),
    [
        (1, 0, 1, PENDING),  # a crash uses no attempt up
        (2, 1, 1, PENDING),
        (3, 2, 1, FAILED),
        (3, 2, 1_000, FAILED),
        (9, 2, 10, FAILED),
        (9, 1, 3, PENDING),
    ],
)
def test_a_crash_is_counted_apart(attempts: int, crashes: int, most: int, to: str) -> None:
    assert MAX_CRASHES == 3
    order = assignment(attempts=attempts, crashes=crashes, max_attempts=most)
    outcome = Outcome(CRASHED, 1.0, error_type="Crashed", message="killed by SIGSEGV")
    ending = decide(order, outcome, chance())
    assert (ending.to, ending.crashed, ending.uncounted) == (to, True, False)
    assert ending.outcome == CRASHED
    assert json.loads(ending.error or "")["type"] == "Crashed"
    if to == PENDING:
        assert ending.kind == "retrying"
        assert ending.delay_ms is not None
        assert 0 <= ending.delay_ms <= 1_000 * 2**crashes
    else:
        assert ending.delay_ms is None


def test_an_error_says_what_is_known_of_a_process_that_ended() -> None:
    outcome = Outcome(
        CRASHED,
        1.0,
        error_type="Crashed",
        message="dead",
        usage=Usage(1.23456, 100.04),
        output="last words",
        signal="SIGKILL",
    )
    assert json.loads(decide(assignment(), outcome, chance()).error or "") == {
        "type": "Crashed",
        "message": "dead",
        "output": "last words",
        "signal": "SIGKILL",
        "maxRssMb": 100.0,
        "cpuSeconds": 1.235,
    }
    left = outcome._replace(signal=None, exit_code=0, output=None)
    error = json.loads(decide(assignment(), left, chance()).error or "")
    assert error["exitCode"] == 0
    assert not error.keys() & {"signal", "output"}


def test_a_success_says_nothing_of_what_it_used() -> None:
    ending = decide(assignment(), Outcome(SUCCEEDED, 1.0, "3", usage=Usage(1, 1)), chance())
    assert (ending.error, ending.result) == (None, "3")


def test_an_error_text_fits_any_database() -> None:
    outcome = Outcome(ERROR, error_type="E", message="\x00\ud800é")
    error = decide(assignment(), outcome, chance()).error
    assert error is not None
    assert error.isascii()
    assert "\x00" not in error


@pytest.mark.parametrize(
    ("after", "delay"), [(0, 0), (0.0004, 0), (1.5, 1_500), (86_400, 86_400_000)]
)
def test_a_wish_for_a_delay_is_kept(after: float, delay: int) -> None:
    ending = decide(assignment(), Outcome(ERROR, retry_after=after), chance())
    assert (ending.to, ending.delay_ms) == (PENDING, delay)


def test_a_wish_for_a_delay_gives_no_more_attempts() -> None:
    ending = decide(assignment(attempts=3), Outcome(ERROR, retry_after=1), chance())
    assert ending.to == FAILED


@pytest.mark.parametrize("attempt", [1, 2, 3, 4, 10, 12, 13, 14, 50, 999])
def test_the_back_off_uses_its_whole_range_and_no_more(attempt: int) -> None:
    most = min(2 ** (attempt - 1) * 1000, HOUR_MS)
    order = assignment(attempts=attempt, max_attempts=1_000)
    dice = chance(attempt)
    delays = [decide(order, Outcome(ERROR), dice).delay_ms or 0 for _ in range(400)]
    assert 0 <= min(delays) < most * 0.1
    assert most * 0.9 < max(delays) <= most


def test_crashes_do_not_lengthen_the_back_off() -> None:
    order = assignment(attempts=9, crashes=8, max_attempts=3)
    dice = chance()
    assert all((decide(order, Outcome(ERROR), dice).delay_ms or 0) <= 1_000 for _ in range(100))


def test_the_same_chance_gives_the_same_decision() -> None:
    order = assignment()
    assert decide(order, Outcome(ERROR), chance(5)) == decide(order, Outcome(ERROR), chance(5))


@given(
    kind=st.sampled_from([SUCCEEDED, ERROR, FATAL, TIMED_OUT, CRASHED, HANDED_BACK, UNKNOWN_TYPE]),
    crashes=st.integers(0, 5),
    spent=st.integers(1, 50),
    most=st.integers(1, 50),
    after=st.none() | st.floats(0, 366 * 86_400),
    seed=st.integers(0, 99),
)
def test_every_decision_is_a_legal_move_within_bounds(
    kind: str, crashes: int, spent: int, most: int, after: float | None, seed: int
) -> None:
    order = assignment(attempts=spent + crashes, crashes=crashes, max_attempts=most)
    ending = decide(order, Outcome(kind, 0.1, retry_after=after), chance(seed))
    assert ending.to in MOVES[WIP]
    assert (ending.error is not None) == (kind in (ERROR, FATAL, TIMED_OUT, CRASHED))
    assert ending.crashed == (kind == CRASHED)
    assert ending.uncounted == (kind in (HANDED_BACK, UNKNOWN_TYPE))
    if kind in (ERROR, TIMED_OUT):
        assert (ending.to == PENDING) == (spent < most)
        if ending.to == PENDING and after is None:
            assert ending.delay_ms is not None
            assert 0 <= ending.delay_ms <= min(2 ** (spent - 1) * 1000, HOUR_MS)

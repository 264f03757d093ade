"""The thread that repeats a step: it waits as told, wakes early, and outlives errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from database import DatabaseAway
from manager.loop import Loop
from tests.support import wait_until


@pytest.fixture
def run_loop() -> Iterator[Callable[[Callable[[], float]], Loop]]:
    loops: list[Loop] = []

    def start(step: Callable[[], float]) -> Loop:
        loop = Loop("tested", step)
        loops.append(loop)
        loop.start()
        return loop

    yield start
    for loop in loops:
        assert loop.stop()


RunLoop = Callable[[Callable[[], float]], Loop]


def test_a_delay_of_zero_means_more_work(run_loop: RunLoop) -> None:
    steps: list[int] = []

    def step() -> float:
        steps.append(1)
        return 0 if len(steps) < 100 else 60

    run_loop(step)
    wait_until(lambda: len(steps) == 100)


def test_a_delay_is_kept_unless_somebody_wakes_it(run_loop: RunLoop) -> None:
    steps: list[float] = []

    def step() -> float:
        steps.append(time.monotonic())
        return 60

    loop = run_loop(step)
    wait_until(lambda: len(steps) == 1)
    loop.wake()
    wait_until(lambda: len(steps) == 2, timeout=5)
    loop.wake()
    wait_until(lambda: len(steps) == 3, timeout=5)


def test_a_wake_during_the_step_is_not_lost(run_loop: RunLoop) -> None:
    steps: list[int] = []

    def step() -> float:
        steps.append(1)
        if len(steps) == 1:
            loop.wake()
        return 60

    loop = Loop("tested", step)
    loop.start()
    wait_until(lambda: len(steps) == 2, timeout=5)
    assert loop.stop()


@pytest.mark.parametrize("error", [DatabaseAway("away"), ValueError("wrong")])
def test_errors_do_not_end_it(run_loop: RunLoop, error: Exception) -> None:
    steps: list[int] = []

    def step() -> float:
        steps.append(1)
        if len(steps) <= 2:
            raise error
        return 60

    loop = run_loop(step)
    wait_until(lambda: len(steps) == 3)
    assert loop.alive()


def test_a_failing_step_is_not_repeated_in_a_rush(run_loop: RunLoop) -> None:
    steps: list[float] = []

    def step() -> float:
        steps.append(time.monotonic())
        raise DatabaseAway("away")

    run_loop(step)
    wait_until(lambda: len(steps) == 4)
    gaps = [after - before for before, after in pairwise(steps)]
    assert gaps[0] >= 0.09
    assert gaps == sorted(gaps), "each wait is longer than the one before"


def test_stop_ends_a_delay_and_the_wait_for_the_database() -> None:
    def away() -> float:
        raise DatabaseAway("away")

    for step in (lambda: 60.0, away):
        loop = Loop("tested", step)
        loop.start()
        begin = time.monotonic()
        assert loop.stop()
        assert time.monotonic() - begin < 5
        assert not loop.alive()


def test_stop_is_safe_twice_and_before_start() -> None:
    loop = Loop("tested", lambda: 60.0)
    assert loop.stop()
    assert loop.stop()
    assert not loop.alive()
    loop.start()
    assert loop.stop(), "stopped before it started it ends at once"


def test_stop_nudges_a_step_that_waits_inside() -> None:
    inside, nudged = threading.Event(), threading.Event()

    def step() -> float:
        inside.set()
        nudged.wait(20)
        return 60

    loop = Loop("tested", step, nudge=nudged.set)
    loop.start()
    assert inside.wait(5)
    begin = time.monotonic()
    assert loop.stop()
    assert time.monotonic() - begin < 5


def test_stop_says_when_the_step_does_not_end() -> None:
    inside, go = threading.Event(), threading.Event()

    def step() -> float:
        inside.set()
        go.wait(20)
        return 60

    loop = Loop("tested", step)
    loop.start()
    assert inside.wait(5)
    assert not loop.stop(timeout=0.05)
    assert loop.alive()
    go.set()
    assert loop.stop()


def test_a_step_may_stop_its_own_loop() -> None:
    loops: list[Loop] = []

    def step() -> float:
        loops[0].stop()
        return 60

    loops.append(Loop("tested", step))
    loops[0].start()
    wait_until(lambda: not loops[0].alive())

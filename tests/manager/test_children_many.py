"""A hundred children killed in a row leave nothing in the manager, and nothing running; nor does
any number of runs in one child make it grow, or its warden."""

from __future__ import annotations

import gc
import threading

import psutil

import forks
from manager.outcome import CRASHED, ERROR, HANDED_BACK, SUCCEEDED, TIMED_OUT, Outcome
from tests.manager.stage import Stage
from tests.manager.untidy import TIDIED

ROUNDS = 25
WARM_UP = 3
# What an interpreter's own allocations come and go by.
ROOM_MB = 4
LATE = Outcome(TIMED_OUT, error_type="TimedOut", message="too long")


def test_a_hundred_killed_children_leave_nothing(stage: Stage) -> None:
    kinds = []
    for _ in range(WARM_UP):
        _kill_four(stage)
    before = _held()
    for _ in range(ROUNDS):
        kinds += _kill_four(stage)
    after = _held()
    stage.children.close(0)
    assert kinds == [CRASHED, CRASHED, TIMED_OUT, HANDED_BACK] * ROUNDS
    assert not stage.family()
    # Less may be held: what earlier tests left is let go meanwhile.
    assert all(now <= was for now, was in zip(after[:-1], before[:-1], strict=True))
    assert after[-1] - before[-1] < ROOM_MB


def test_a_child_and_its_warden_grow_by_no_run(stage: Stage) -> None:
    """However the jobs ended, printed, logged, forked, and left things that are put back."""
    for _ in range(WARM_UP):
        _run_all(stage)
    family = stage.family()
    assert len(family) == 2
    before = [_held_by(one) for one in family]
    for _ in range(ROUNDS):
        _run_all(stage)
    assert stage.family() == family
    for one, held in zip(family, before, strict=True):
        now = _held_by(one)
        assert now[:-1] == held[:-1]
        assert now[-1] - held[-1] < ROOM_MB


def _run_all(stage: Stage) -> None:
    for what in TIDIED:
        assert stage.run("untidy", what=what).kind == SUCCEEDED
    assert stage.run("raise", what="wrong").kind == ERROR
    assert stage.run("print", text="x" * 10_000).kind == SUCCEEDED
    assert stage.run("leave", what="fork").kind == SUCCEEDED
    assert stage.run("huge", size=2_000_000).error_type == "BadResult"


def _held_by(process: psutil.Process) -> tuple[int, int, int, float]:
    """Descriptors, threads, processes below, and MiB of it."""
    return (
        process.num_fds(),
        process.num_threads(),
        len(process.children(recursive=True)),
        process.memory_info().rss / 2**20,
    )


def _kill_four(stage: Stage) -> list[str]:
    """One by itself, one by a signal, one past its deadline, one without a lease or a grace."""
    crashes = [stage.run("crash", how=how) for how in ("exit", "kill")]
    late, unwanted = stage.start("spin"), stage.start("deaf")
    for running, outcome in ((late, LATE), (unwanted, Outcome(HANDED_BACK))):
        assert running.order.apart is not None
        assert running.order.apart.end(outcome)
    for warden in stage.wardens():
        # A grace of two seconds each is not what this is about.
        for child in warden.children():
            child.kill()
    return [outcome.kind for outcome in (*crashes, late.outcome(), unwanted.outcome())]


def _held() -> tuple[int, int, int, int, float]:
    """Descriptors, those kept from forks, threads, processes below, and MiB of this process."""
    gc.collect()
    me = psutil.Process()
    return (
        me.num_fds(),
        len(forks._kept),
        threading.active_count(),
        len(me.children(recursive=True)),
        me.memory_info().rss / 2**20,
    )

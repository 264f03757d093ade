"""What is past its deadline ends, whatever its thread does; what nobody holds is taken back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

import ledger
from jobs import Context
from manager import watchman
from manager.leases import Leases
from manager.outcome import HANDED_BACK, TIMED_OUT, Outcome
from manager.pool import ManageWorker
from manager.rescuer import Rescuer
from models import CANCELLED, COMPLETED, FAILED, PENDING, WIP
from tests.factories import claim, make_stale, submit
from tests.manager.by_hand import ByHand, Unlucky, events
from tests.manager.conftest import JobType
from tests.support import wait_until


class Stage:
    """A manager of one real worker, whose job ignores every wish that it stop."""

    def __init__(self, database: Unlucky, job_type: JobType) -> None:
        self.go = threading.Event()
        self.contexts: list[Context] = []
        self.pool = ManageWorker(1)
        self.hand = ByHand(database, pool=self.pool)
        self.type = job_type("tests.stubborn", self._stubborn)

    def _stubborn(self, context: Context) -> None:
        self.contexts.append(context)
        self.go.wait(20)

    def start_one(self, **columns: object) -> str:
        order_id = submit(self.hand.database, type=self.type, payload="{}", **columns)
        begun = len(self.contexts)
        self.hand.claimer.step()
        wait_until(lambda: len(self.contexts) > begun)
        return order_id


@pytest.fixture
def stage(unlucky: Unlucky, job_type: JobType) -> Iterator[Stage]:
    made = Stage(unlucky, job_type)
    yield made
    made.go.set()
    made.pool.stop(5)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that was told to stop has no time for it."""
    monkeypatch.setattr(watchman, "GRACE_SECONDS", 0.0)


def past_deadline(stage: Stage) -> None:
    """A run's clock starts a little after its context's, more so on a busy machine."""
    context = stage.contexts[-1]
    last = stage.hand.leases.get(context.job_id)
    wait_until(lambda: context.remaining() == 0)
    if last is not None and last.deadline is not None:
        wait_until(lambda: time.monotonic() > (last.deadline or 0))


def cancel(stage: Stage, order_id: str) -> None:
    ledger.cancel(stage.hand.database, order_id)
    stage.hand.heartbeat.tick()


def test_before_its_deadline_nothing_happens_to_it(stage: Stage, unlucky: Unlucky) -> None:
    stage.start_one(timeout_ms=60_000)
    stage.hand.watchman.tick()
    assert stage.pool.hung() == 0
    assert not stage.contexts[0].cancelled


@pytest.mark.usefixtures("at_once")
def test_past_it_the_attempt_is_recorded_told_and_its_slot_replaced(
    stage: Stage, unlucky: Unlucky
) -> None:
    order_id = stage.start_one(timeout_ms=20, max_attempts=1)
    past_deadline(stage)
    for _ in ("told", "given up"):
        stage.hand.watchman.tick()
    stage.hand.drain()
    failed = ledger.find(unlucky, order_id)
    assert failed.status == FAILED
    assert failed.error is not None
    assert json.loads(failed.error)["type"] == "TimedOut"
    assert failed.run_ms is not None
    assert failed.run_ms >= 20
    assert stage.contexts[0].cancelled
    assert stage.pool.hung() == 1
    assert stage.pool.is_available_slot()
    other = submit(unlucky)
    stage.hand.claimer.step()
    wait_until(lambda: stage.hand.writer.unwritten() == 1)
    stage.hand.drain()
    assert ledger.find(unlucky, other).status == COMPLETED
    stage.hand.watchman.tick()
    assert events(unlucky).count("failed") == 1


def test_with_attempts_left_it_runs_again(stage: Stage, unlucky: Unlucky) -> None:
    order_id = stage.start_one(timeout_ms=20, max_attempts=2)
    past_deadline(stage)
    stage.hand.watchman.tick()
    stage.hand.drain()
    assert ledger.find(unlucky, order_id).status == PENDING
    assert ledger.history(unlucky, order_id)[0].outcome == "timed_out"


def test_its_own_late_end_is_ignored(stage: Stage, unlucky: Unlucky) -> None:
    order_id = stage.start_one(timeout_ms=20, max_attempts=1)
    past_deadline(stage)
    stage.hand.watchman.tick()
    stage.go.set()
    wait_until(lambda: stage.pool.hung() == 0)
    stage.hand.drain()
    assert ledger.find(unlucky, order_id).status == FAILED
    assert "late_result_discarded" not in events(unlucky)


def test_a_thread_that_stops_when_told_is_not_left_behind(stage: Stage, unlucky: Unlucky) -> None:
    stage.start_one(timeout_ms=20, max_attempts=1)
    past_deadline(stage)
    stage.hand.watchman.tick()
    assert stage.contexts[0].cancelled
    assert stage.pool.hung() == 0
    stage.go.set()
    wait_until(stage.pool.is_available_slot, "it ends by itself")
    stage.hand.watchman.tick()
    assert stage.hand.leases.left() == []
    assert stage.pool.hung() == 0


@pytest.mark.usefixtures("at_once")
def test_too_many_hung_threads_are_reported(stage: Stage, unlucky: Unlucky) -> None:
    calls: list[int] = []
    stage.hand.watchman.too_many = lambda: calls.append(1)
    for _ in range(2):
        assert calls == []
        stage.start_one(timeout_ms=20, max_attempts=1)
        past_deadline(stage)
        for _ in ("told", "given up"):
            stage.hand.watchman.tick()
        stage.hand.drain()
    assert stage.pool.hung() == 2
    assert calls


@pytest.mark.usefixtures("at_once")
def test_a_cancelled_job_that_does_not_listen_loses_its_slot_long_before_its_deadline(
    stage: Stage, unlucky: Unlucky
) -> None:
    order_id = stage.start_one(timeout_ms=3_600_000)
    cancel(stage, order_id)
    assert stage.contexts[0].cancelled
    stage.hand.watchman.tick()
    assert stage.pool.is_available_slot(), "else every such cancel costs a worker"
    assert stage.pool.hung() == 1
    assert ledger.find(unlucky, order_id).status == CANCELLED


@pytest.mark.usefixtures("at_once")
def test_cancels_alone_do_not_end_a_manager_but_deadlines_do(
    stage: Stage, unlucky: Unlucky
) -> None:
    calls: list[int] = []
    stage.hand.watchman.too_many = lambda: calls.append(1)
    for timeout_ms in (3_600_000, 500):
        cancel(stage, stage.start_one(timeout_ms=timeout_ms))
        stage.hand.watchman.tick()
    assert stage.pool.hung() == 1, "as many as there are workers, and no more"
    assert not stage.pool.is_available_slot()
    assert calls == []
    past_deadline(stage)
    stage.hand.watchman.tick()
    assert stage.pool.hung() == 2
    assert calls


class Process:
    """Stands for a child process: what it was ended with."""

    def __init__(self) -> None:
        self.ends: list[Outcome] = []

    def end(self, outcome: Outcome) -> bool:
        self.ends.append(outcome)
        return len(self.ends) == 1


def test_what_runs_apart_is_ended_and_its_worker_reports(stage: Stage, unlucky: Unlucky) -> None:
    order_id = stage.start_one(timeout_ms=20, max_attempts=1)
    (assignment,) = stage.hand.leases.open()
    process = assignment.apart = Process()
    past_deadline(stage)
    for _ in range(2):
        stage.hand.watchman.tick()
    assert {outcome.kind for outcome in process.ends} == {TIMED_OUT}
    assert process.ends[0].error_type == "TimedOut"
    assert stage.hand.writer.unwritten() == 0
    assert stage.pool.hung() == 0
    assert ledger.find(unlucky, order_id).status == WIP
    stage.go.set()
    wait_until(lambda: stage.hand.writer.unwritten() == 1, "its worker reports")


def test_what_runs_apart_is_ended_for_its_silence(stage: Stage, unlucky: Unlucky) -> None:
    stage.start_one(max_silence_ms=20)
    (assignment,) = stage.hand.leases.open()
    process = assignment.apart = Process()
    wait_until(lambda: stage.contexts[0].silent_for() > 0.02)
    stage.hand.watchman.tick()
    assert [outcome.error_type for outcome in process.ends] == ["Silent"]


def test_a_cancelled_one_that_runs_apart_keeps_its_slot_until_it_is_gone(
    stage: Stage, unlucky: Unlucky
) -> None:
    order_id = stage.start_one(timeout_ms=20)
    (assignment,) = stage.hand.leases.open()
    process = assignment.apart = Process()
    ledger.cancel(unlucky, order_id)
    stage.hand.heartbeat.tick()
    assert [outcome.kind for outcome in process.ends] == [HANDED_BACK]
    past_deadline(stage)
    stage.hand.watchman.tick()
    assert not stage.pool.is_available_slot()
    stage.go.set()
    wait_until(stage.pool.is_available_slot, "the slot is free")
    stage.hand.watchman.tick()
    assert stage.hand.leases.left() == []


def test_one_whose_process_starts_is_not_given_back(
    unlucky: Unlucky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchman, "AHEAD_SECONDS", 0.0)
    hand = ByHand(unlucky)
    for _ in range(2):
        submit(unlucky)
    hand.claimer.step()
    (starting, *waiting) = hand.leases.open()
    assert hand.leases.begin(starting)
    hand.watchman.tick()
    assert hand.leases.open() == [starting]
    assert len(waiting) <= 1


def test_the_rescuer_takes_back_what_is_stale_and_only_that(unlucky: Unlucky) -> None:
    ids = [submit(unlucky) for _ in range(3)]
    claim(unlucky, "gone", free=2)
    (fresh,) = claim(unlucky, "living")
    for order_id in set(ids) - {fresh.id}:
        make_stale(unlucky, order_id)
    Rescuer(unlucky, "rescuer", Leases(30.0), 30.0, lambda _seconds: True).tick()
    for order_id in ids:
        found = ledger.find(unlucky, order_id)
        assert (found.status, found.crashes) == (
            ("wip", 0) if order_id == fresh.id else (PENDING, 1)
        )


def test_the_third_crash_is_the_last(unlucky: Unlucky) -> None:
    order_id = submit(unlucky)
    rescuer = Rescuer(unlucky, "rescuer", Leases(30.0), 30.0, lambda _seconds: True)
    for crash in (1, 2, 3):
        wait_until(lambda: claim(unlucky, "gone"))
        make_stale(unlucky, order_id)
        rescuer.tick()
        assert ledger.find(unlucky, order_id).crashes == crash
    failed = ledger.find(unlucky, order_id)
    assert failed.status == FAILED
    assert failed.error is not None
    assert json.loads(failed.error)["type"] == "Crashed"

"""Told to stop, or without a lease: what a child does then, and that nothing of it is left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from manager import children
from manager.cell import Report
from manager.outcome import CRASHED, HANDED_BACK, SUCCEEDED, Outcome
from manager.verdicts import judge
from tests.manager.stage import Running, Stage, is_gone, order, value
from tests.support import wait_until


def test_told_to_stop_a_job_has_a_moment_to_do_so(stage: Stage, tmp_path: Path) -> None:
    running = stage.start("obedient")
    running.order.tell_to_stop()
    assert running.outcome().kind == HANDED_BACK
    assert [path for path in tmp_path.iterdir() if path.name.endswith("-told")]


@pytest.mark.parametrize(("kind", "payload"), [("obedient", {"answer": True}), ("program", {})])
def test_what_it_answers_once_it_was_told_does_not_count(
    stage: Stage, kind: str, payload: dict[str, Any]
) -> None:
    """It may have returned early, or failed because what it had started was ended too."""
    running = stage.start(kind, **payload)
    running.order.tell_to_stop()
    outcome = running.outcome()
    assert (outcome.kind, outcome.result, outcome.message) == (HANDED_BACK, None, None)
    assert not stage.wardens()


@pytest.mark.parametrize("told", [True, False])
def test_what_it_had_answered_before_it_was_told_counts(told: bool) -> None:
    done = Outcome(SUCCEEDED, 0.1, '"done"')
    answer = {"outcome": list(done), "usage": [0.1, 20.0], "told": told}
    outcome = judge(order("self"), answer, Outcome(HANDED_BACK), Report(), 0.1, 0.0)
    assert outcome.kind == (HANDED_BACK if told else SUCCEEDED)


def test_a_run_that_is_lost_in_our_own_hands_leaves_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_answer: dict[str, Any]) -> Outcome:
        raise KeyError("outcome")

    monkeypatch.setattr(children, "outcome_of", broken)
    assert stage.run("self").kind == CRASHED
    assert not stage.wardens()


@pytest.mark.parametrize("kind", ["deaf", "spin"])
def test_without_a_lease_a_child_is_ended_by_its_warden(stage: Stage, kind: str) -> None:
    """As when the manager is stopped: nobody says anything more."""
    running = stage.start(kind)
    stage.children.renewed(time.monotonic() + 0.2)
    outcome = running.outcome()
    assert (outcome.kind, outcome.message) == (HANDED_BACK, None)
    assert not stage.wardens()


def test_a_child_that_starts_or_rests_has_the_lease_of_all(stage: Stage) -> None:
    stage.children.renewed(time.monotonic() + 600)
    first = value(stage.run("self"))["pid"]
    stage.children.renewed(time.monotonic() + 0.2)
    wait_until(lambda: is_gone(first), "at rest it ends too")
    assert Running(stage.children, order("spin", began="/dev/null")).outcome().kind == HANDED_BACK
    stage.children.renewed(time.monotonic() + 600)
    assert stage.run("self").kind == SUCCEEDED


def test_a_lease_that_is_renewed_ends_nothing(stage: Stage) -> None:
    running = stage.start("obedient", answer=True)
    for _ in range(5):
        stage.children.renewed(time.monotonic() + 0.5)
        time.sleep(0.2)
    assert not running.is_over()
    running.order.tell_to_stop()
    assert running.outcome().kind == HANDED_BACK


def test_told_to_stop_before_it_began_it_never_runs(stage: Stage) -> None:
    early = order("crash", how="exit")
    early.tell_to_stop()
    assert stage.children.run(early).kind == HANDED_BACK
    assert early.started is None


def test_told_to_stop_while_its_process_starts_it_never_runs(stage: Stage) -> None:
    starting = Running(stage.children, order("crash", how="exit"))
    wait_until(lambda: starting.order.apart is not None)
    starting.order.tell_to_stop()
    assert starting.outcome().kind == HANDED_BACK


def test_a_stop_leaves_jobs_a_moment_to_clean_up(stage: Stage, tmp_path: Path) -> None:
    obedient, deaf = stage.start("obedient"), stage.start("deaf")
    stage.children.close()
    assert [path for path in tmp_path.iterdir() if path.name.endswith("-told")]
    assert {obedient.outcome().kind, deaf.outcome().kind} == {HANDED_BACK}
    assert not stage.wardens()

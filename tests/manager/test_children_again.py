"""A child that serves again: a job finds what the first one found, or another child."""

from __future__ import annotations

import pytest

from manager.outcome import SUCCEEDED, TIMED_OUT, Outcome
from manager.process_state import MOST_SOCKETS
from tests.manager.stage import Stage, is_gone, value
from tests.manager.untidy import EITHER, SPENT, TIDIED


@pytest.mark.parametrize("what", TIDIED)
def test_what_a_job_changed_is_as_it_was_for_the_next(stage: Stage, what: str) -> None:
    before = value(stage.run("look"))
    outcome = stage.run("untidy", what=what)
    assert outcome.kind == SUCCEEDED, outcome
    after = value(stage.run("look", seconds=0.4 if what in ("alarm", "dump later") else 0))
    assert after == before, "the same process, too"


@pytest.mark.parametrize("what", SPENT)
def test_what_cannot_be_undone_ends_the_process(stage: Stage, what: str) -> None:
    before = value(stage.run("look"))
    outcome = stage.run("untidy", what=what)
    assert outcome.kind == SUCCEEDED, outcome
    assert value(outcome) == before["pid"]
    assert is_gone(before["pid"])
    assert not stage.family()
    assert value(stage.run("look"))["pid"] != before["pid"]


@pytest.mark.parametrize("what", EITHER)
def test_what_takes_rights_to_undo_is_undone_or_ends_the_process(stage: Stage, what: str) -> None:
    before = value(stage.run("look"))
    assert stage.run("untidy", what=what).kind == SUCCEEDED
    after = value(stage.run("look"))
    assert (after["nice"], after["limits"]) == (before["nice"], before["limits"])


def test_what_modules_keep_is_carried_over_up_to_a_bound(stage: Stage) -> None:
    first = value(stage.run("keep", sockets=MOST_SOCKETS))
    found = value(stage.run("look"))
    assert (found["pid"], found["kept"]) == (first, MOST_SOCKETS)
    assert value(stage.run("keep", sockets=1)) == first
    assert is_gone(first)


def test_a_seed_is_of_one_run(stage: Stage) -> None:
    assert len({value(stage.run("draw")) for _ in range(4)}) == 4


def test_what_is_printed_and_logged_after_a_mess_comes_through(stage: Stage) -> None:
    stage.run("untidy", what="streams")
    stage.run("untidy", what="logging")
    outcome = stage.run("crash", how="kill", text="still here")
    assert outcome.output == "still here"


@pytest.mark.parametrize("what", ["faults", "handlers", "streams"])
def test_where_a_later_job_hangs_is_told_all_the_same(stage: Stage, what: str) -> None:
    before = value(stage.run("untidy", what=what))
    running = stage.start("spin", text="so far")
    assert running.order.apart is not None
    running.order.apart.end(Outcome(TIMED_OUT, error_type="TimedOut", message="late"))
    outcome = running.outcome()
    assert is_gone(before), "it was the same process"
    assert outcome.traceback is not None
    assert "in spin" in outcome.traceback
    assert outcome.output == "so far"

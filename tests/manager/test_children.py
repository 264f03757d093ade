"""A run in a child process: however it ends, it becomes an outcome, and the next one runs."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from manager import cell
from manager import children as module
from manager.assignment import Assignment
from manager.children import Children
from manager.executor import MAX_RESULT, Executor
from manager.outcome import (
    CRASHED,
    ERROR,
    FATAL,
    HANDED_BACK,
    SUCCEEDED,
    TIMED_OUT,
    UNKNOWN_TYPE,
    Outcome,
)
from tests.manager.conftest import JobType
from tests.manager.stage import Stage, is_gone, order, value
from tests.support import wait_until

LATE = Outcome(TIMED_OUT, error_type="TimedOut", message="too long")


def test_the_job_runs_in_a_process_of_its_own(stage: Stage) -> None:
    assignment = order("self")
    outcome = stage.children.run(assignment)
    assert outcome.kind == SUCCEEDED
    seen = value(outcome)
    assert os.getpid() not in (seen["pid"], seen["warden"])
    assert seen["session"] == seen["group"] == seen["pid"]
    assert seen["main_thread"], "signals and asyncio want it"
    assert seen["job"] == [assignment.id, 1, 1]
    assert 0 < seen["remaining"] <= 60
    assert outcome.run_seconds is not None
    assert 0 <= outcome.run_seconds < 5


def test_a_child_knows_nothing_of_databases_http_or_settings(stage: Stage) -> None:
    loaded = value(stage.run("self"))["modules"]
    foreign = {
        *("peewee", "playhouse", "psycopg", "apsw", "sqlite3", "flask", "apscheduler", "structlog"),
        *("api", "database", "ledger", "models", "settings"),
    }
    assert not foreign & set(loaded)


def test_a_child_serves_one_order_after_the_other(stage: Stage) -> None:
    assert len({value(stage.run("self"))["pid"] for _ in range(20)}) == 1


def test_a_child_is_never_shared(stage: Stage) -> None:
    running = [stage.start("obedient") for _ in range(3)]
    pids = {value(stage.run("self"))["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert len(stage.wardens()) == 4
    for one in running:
        one.order.tell_to_stop()
    assert {one.outcome().kind for one in running} == {HANDED_BACK}


@pytest.mark.parametrize(
    ("what", "kind", "error", "message"),
    [
        ("wrong", ERROR, "ValueError", "wrong"),
        ("retry", ERROR, "Retry", "later"),
        ("fail", FATAL, "Fail", "never"),
        ("exit", ERROR, "SystemExit", "out"),
        ("odd", ERROR, "Odd", "(the error's own text could not be made)"),
    ],
)
def test_what_a_job_raises_is_told(
    stage: Stage, what: str, kind: str, error: str, message: str
) -> None:
    outcome = stage.run("raise", what=what)
    assert (outcome.kind, outcome.error_type, outcome.message) == (kind, error, message)
    assert outcome.retry_after == (2.5 if what == "retry" else None)
    assert outcome.traceback is not None
    files = [line for line in outcome.traceback.splitlines() if line.startswith("  File ")]
    assert files
    assert all("wild.py" in line for line in files)
    assert stage.run("self").kind == SUCCEEDED


def test_a_result_beyond_the_limit_never_crosses_over(stage: Stage) -> None:
    outcome = stage.run("huge", size=64 * MAX_RESULT)
    assert (outcome.kind, outcome.error_type, outcome.result) == (ERROR, "BadResult", None)
    largest = stage.run("huge", size=MAX_RESULT - 2)
    assert largest.result == '"' + "x" * (MAX_RESULT - 2) + '"'


def test_a_payload_crosses_over_whole(stage: Stage) -> None:
    outcome = stage.run("print", text="é\ud800\x01" * 100_000)
    assert outcome.error_type == "UnicodeEncodeError", "only /bin/echo minds"


def test_a_type_that_the_child_does_not_know_is_told_apart(stage: Stage, job_type: JobType) -> None:
    job_type("wild.here_only", lambda _context: None)
    assert stage.run("here_only").kind == UNKNOWN_TYPE


@pytest.mark.parametrize(
    ("how", "message", "code", "name"),
    [
        ("exit", "the job's process exited with code 3", 3, None),
        ("segfault", "the job's process was killed by SIGSEGV", None, "SIGSEGV"),
        (
            "kill",
            "the job's process was killed by SIGKILL, by itself or by somebody outside Capataz",
            None,
            "SIGKILL",
        ),
    ],
)
def test_a_process_that_dies_is_a_crash(
    stage: Stage, how: str, message: str, code: int | None, name: str | None
) -> None:
    before = value(stage.run("self"))["pid"]
    outcome = stage.run("crash", how=how)
    assert (outcome.kind, outcome.error_type, outcome.message) == (CRASHED, "Crashed", message)
    assert (outcome.exit_code, outcome.signal) == (code, name)
    assert is_gone(before)
    assert value(stage.run("self"))["pid"] != before


def test_a_job_that_closes_the_line_crashes(stage: Stage) -> None:
    outcome = stage.run("close")
    assert (outcome.kind, outcome.exit_code) == (CRASHED, 1)
    assert outcome.output is not None
    assert "Bad file descriptor" in outcome.output


@pytest.mark.parametrize("kind", ["spin", "deaf"])
def test_whatever_it_does_it_can_be_ended(stage: Stage, kind: str) -> None:
    running = stage.start(kind)
    assert running.order.apart is not None
    assert running.order.apart.end(LATE)
    outcome = running.outcome()
    assert (outcome.kind, outcome.error_type) == (TIMED_OUT, "TimedOut")
    assert outcome.message == LATE.message
    assert outcome.signal == "SIGKILL"
    assert not stage.wardens()


def test_it_is_ended_once_and_for_the_first_reason(stage: Stage) -> None:
    running = stage.start("spin")
    assert running.order.apart is not None
    assert running.order.apart.end(LATE)
    assert not running.order.apart.end(Outcome(HANDED_BACK))
    running.order.tell_to_stop()
    assert running.outcome().kind == TIMED_OUT
    assert not running.order.apart.end(LATE), "it is over"


def test_past_its_deadline_no_answer_counts(stage: Stage) -> None:
    running = stage.start("obedient", answer=True)
    assert running.order.apart is not None
    running.order.apart.end(LATE)
    outcome = running.outcome()
    assert (outcome.kind, outcome.result) == (TIMED_OUT, None)


def test_progress_and_logs_reach_the_manager(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "capataz.job"):
        running = stage.start("steps", go=str(tmp_path / "go"))
        context = running.order.context
        assert context is not None
        latest = []

        def last_came() -> bool:
            if (progress := context.take_progress()) is not None:
                latest.append(progress)
            return bool(latest) and latest[-1].percent == 100

        wait_until(last_came, "the last progress arrives")
        assert latest[-1].message == "step 1000"
        assert len(latest) < 100, "not each of them: the latest counts"
        assert context.silent_for() < 10
        (tmp_path / "go").touch()
        assert running.outcome().kind == SUCCEEDED
    (record,) = [record for record in caplog.records if record.name == "capataz.job"]
    assert record.getMessage() == "said 1001 times"
    assert record.levelno == logging.WARNING
    said = vars(record)
    assert (said["colour"], said["name_"], said["job_id"]) == ("blue", "taken", running.order.id)


def test_a_child_that_cannot_load_the_jobs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here_once.py").write_text("raise SystemExit('not today')")
    monkeypatch.syspath_prepend(tmp_path)
    children = Children(["only_here_once"])
    outcome = children.run(order("self"))
    assert (outcome.kind, outcome.error_type) == (ERROR, "NotStarted")
    assert outcome.message is not None
    assert "exited with code 1" in outcome.message
    assert outcome.output == "not today\n"
    children.close()


def test_a_child_that_takes_too_long_to_load_the_jobs_is_ended_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here_too.py").write_text("import time; time.sleep(600)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cell, "START_SECONDS", 0.5)
    children = Children(["only_here_too"])
    outcome = children.run(order("self"))
    assert (outcome.kind, outcome.error_type) == (ERROR, "NotStarted")
    assert outcome.message == (
        "the job's process was ended by its manager: it was not ready within 0.5 s, "
        "before it had loaded its jobs"
    )
    children.close()


def test_a_stop_ends_all_children_and_takes_no_more(stage: Stage) -> None:
    stage.run("self")
    running = [stage.start("spin"), stage.start("deaf")]
    since = time.monotonic()
    stage.children.close()
    assert time.monotonic() - since < module.CLOSE_SECONDS
    assert not stage.wardens()
    assert {one.outcome().kind for one in running} == {HANDED_BACK}
    assert stage.run("self").kind == HANDED_BACK
    stage.children.close()


def test_idle_children_end_after_a_while(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = value(stage.run("self"))["pid"]
    stage.children.tick()
    assert not is_gone(pid)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    stage.children.tick()
    assert is_gone(pid)
    assert not stage.wardens()
    assert stage.run("self").kind == SUCCEEDED


def test_a_child_is_replaced_after_many_runs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    pids = [value(stage.run("self"))["pid"] for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.parametrize("how", ["child", "warden"])
def test_an_idle_child_that_died_is_replaced(stage: Stage, how: str) -> None:
    seen = value(stage.run("self"))
    os.kill(seen["pid" if how == "child" else "warden"], signal.SIGKILL)
    wait_until(lambda: is_gone(seen["pid"]), "the child is gone")
    wait_until(lambda: not stage.children._idle[0].is_alive(), "its warden has reported")
    assert value(stage.run("self"))["pid"] != seen["pid"]


def test_orders_that_need_it_run_apart_and_others_do_not(stage: Stage) -> None:
    outcomes: list[Outcome] = []

    def deliver(_assignment: Assignment, outcome: Outcome) -> None:
        outcomes.append(outcome)

    executor = Executor(lambda _a: True, deliver, stage.children.run)
    crashed_once = order("thread")
    crashed_once.order = crashed_once.order._replace(crashes=1)
    for one in (order("thread"), crashed_once, order("self"), order("nobody_knows")):
        executor.execute(one)
    thread, quarantined, apart, unknown = outcomes
    assert value(thread) == os.getpid()
    assert value(quarantined) == value(apart)["pid"] != os.getpid()
    assert unknown.kind == UNKNOWN_TYPE


def test_many_at_once(stage: Stage) -> None:
    pids: list[int] = []

    def work() -> None:
        pids.extend(value(stage.run("self"))["pid"] for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(pids) == 100
    assert len(set(pids)) <= 4

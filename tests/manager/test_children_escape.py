"""Jobs that try to get away from their wardens, and wardens that are stopped or left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from manager import cell, children
from manager.cell import Cell
from manager.outcome import CRASHED, HANDED_BACK, SUCCEEDED, TIMED_OUT, Outcome
from tests.manager.stage import Stage, is_gone, pids_in
from tests.support import wait_until

# A manager of one run, that C code forks: no hook of Python's runs in such a fork.
COPIED = """
import ctypes, sys, threading
from pathlib import Path
from jobs import registry
from tests.manager.stage import JOBS, Stage
registry.load([JOBS])
Stage(Path(sys.argv[1])).start("deaf")
copy = ctypes.CDLL(None).fork()
if copy == 0:
    ctypes.CDLL(None).sleep(600)
print(copy, flush=True)
threading.Event().wait()
"""


def test_a_job_that_kills_its_warden_ends_with_all_that_it_started(
    stage: Stage, tmp_path: Path
) -> None:
    """Even a daemon with a session of its own."""
    pids = tmp_path / "pids"
    outcome = stage.start("mutiny", pids=str(pids), how="KILL").outcome()
    assert (outcome.kind, outcome.message) == (
        CRASHED,
        "the job's process ended with its warden",
    )
    assert len(pids_in(pids)) == 2
    wait_until(lambda: is_gone(*pids_in(pids)), "the job and its daemon are gone")


@pytest.mark.parametrize("how", ["STOP", "STOP for ever"])
def test_a_job_that_stops_its_warden_is_ended_all_the_same(
    stage: Stage, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that does so again and again."""
    monkeypatch.setattr(cell, "LIMIT_SECONDS", 1.0)
    pids = tmp_path / "pids"
    running = stage.start("mutiny", pids=str(pids), how=how)
    (warden,) = stage.wardens()
    wait_until(lambda: warden.status() == psutil.STATUS_STOPPED, "the warden is stopped")
    running.order.tell_to_stop()
    assert running.outcome().kind == HANDED_BACK
    assert len(pids_in(pids)) == 2
    wait_until(lambda: is_gone(*pids_in(pids)), "the job and its daemon are gone")
    assert not stage.wardens()


def test_a_grace_is_no_longer_than_the_lease(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cell.end, "__defaults__", (600.0,))
    running = stage.start("deaf")
    running.order.tell_to_stop()
    stage.children.renewed(time.monotonic() + 0.2)
    assert running.outcome().kind == HANDED_BACK
    assert not stage.wardens()


def test_a_stopped_warden_delays_no_renewal_and_sees_at_once_that_it_is_late(stage: Stage) -> None:
    running = stage.start("deaf")
    (warden,) = stage.wardens()
    warden.suspend()
    until = time.monotonic() + 0.2
    for _ in range(5_000):  # far more than fit into its socket
        stage.children.renewed(until)
    wait_until(lambda: time.monotonic() > until)
    warden.resume()
    assert running.outcome().kind == HANDED_BACK
    assert not stage.wardens()


def test_a_warden_that_was_stopped_alone_hears_of_the_newest_lease_first(stage: Stage) -> None:
    go = stage.mark()
    running = stage.start("steps", go=str(go))
    (warden,) = stage.wardens()
    until = time.monotonic() + 0.2
    stage.children.renewed(until)
    warden.suspend()
    wait_until(lambda: time.monotonic() > until)
    stage.children.renewed(time.monotonic() + 600)
    warden.resume()
    go.touch()
    assert running.outcome().kind == SUCCEEDED


def test_a_fork_of_the_manager_holds_no_end_of_a_cell(stage: Stage) -> None:
    stage.start("deaf")
    (one,) = stage.children._cells
    ends = [one._control.fileno(), one._socket.fileno()]
    pid = os.fork()
    if pid == 0:
        os._exit(sum(os.readlink(f"/proc/self/fd/{end}") != os.devnull for end in ends))
    assert os.waitpid(pid, 0)[1] == 0


def test_a_warden_sees_its_managers_end_whoever_holds_its_socket(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COPIED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as manager:
        assert manager.stdout is not None
        copy = psutil.Process(int(manager.stdout.readline()))
        try:
            below = psutil.Process(manager.pid).children(recursive=True)
            apart = [one.pid for one in below if one.pid != copy.pid]
            assert len(apart) == 2
            manager.kill()
            manager.wait()
            wait_until(lambda: is_gone(*apart), "the warden and the job are gone")
            assert copy.is_running()
        finally:
            with suppress(psutil.NoSuchProcess):
                copy.kill()


def test_a_run_that_is_lost_after_it_was_ended_keeps_its_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_told: Any) -> Outcome:
        raise KeyError("told")

    monkeypatch.setattr(children, "judge", broken)
    for why in (Outcome(TIMED_OUT, error_type="TimedOut", message="late"), Outcome(HANDED_BACK)):
        running = stage.start("spin")
        assert running.order.apart is not None
        assert running.order.apart.end(why)
        assert running.outcome() == why
        assert not stage.wardens()

"""What a job starts ends with it; what it may use is bounded; nothing of the manager's leaks."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from manager import processes
from manager.outcome import CRASHED, ERROR, HANDED_BACK, SUCCEEDED, TIMED_OUT, Outcome
from tests.house.project import ROOT
from tests.manager.stage import Stage, is_gone, pids_in, value
from tests.support import wait_until

LATE = Outcome(TIMED_OUT, error_type="TimedOut", message="too long")


def test_a_daemon_that_a_job_leaves_is_ended_and_so_is_its_child(stage: Stage) -> None:
    pids = stage.mark()
    outcome = stage.run("daemon", pids=str(pids), then="return")
    assert outcome.kind == SUCCEEDED
    assert is_gone(*pids_in(pids))
    assert is_gone(value(outcome)), "its state may be that of somebody with a daemon"
    assert stage.run("self").kind == SUCCEEDED


def test_a_daemon_does_not_outlive_a_crash(stage: Stage) -> None:
    pids = stage.mark()
    outcome = stage.run("daemon", pids=str(pids), then="exit")
    assert (outcome.kind, outcome.exit_code) == (CRASHED, 0)
    assert is_gone(*pids_in(pids))


@pytest.mark.parametrize("why", [LATE, Outcome(HANDED_BACK)], ids=lambda outcome: outcome.kind)
def test_a_daemon_does_not_outlive_the_end_of_its_job(stage: Stage, why: Outcome) -> None:
    pids = stage.mark()
    running = stage.start("daemon", pids=str(pids), then="wait")
    assert running.order.apart is not None
    running.order.apart.end(why)
    assert running.outcome().kind == why.kind
    assert is_gone(*pids_in(pids))
    assert not stage.family()


@pytest.mark.parametrize("what", ["program", "thread"])
def test_a_child_with_something_left_in_it_is_not_used_again(stage: Stage, what: str) -> None:
    outcome = stage.run("leave", what=what)
    assert outcome.kind == SUCCEEDED
    assert is_gone(value(outcome))
    assert not stage.family()


def test_a_fork_that_comes_back_from_the_job_answers_nothing(stage: Stage) -> None:
    pids = {value(stage.run("leave", what="fork")) for _ in range(3)}
    assert len(pids) == 1
    assert -1 not in pids


def test_a_job_may_end_its_forks_as_usual(stage: Stage) -> None:
    assert value(stage.run("terminate")) == signal.SIGTERM


def test_the_end_of_a_warden_is_the_end_of_its_child(stage: Stage) -> None:
    running = stage.start("spin")
    (guard,) = stage.wardens()
    (child,) = guard.children()
    guard.kill()
    outcome = running.outcome()
    assert (outcome.kind, outcome.error_type) == (CRASHED, "Crashed")
    assert outcome.message == "the job's process ended with its warden"
    wait_until(lambda: is_gone(child.pid), "the child is gone")


def test_a_crowd_of_processes_is_held_and_ended(stage: Stage) -> None:
    running = stage.start("bomb")
    outcome = running.outcome(60)
    assert (outcome.kind, outcome.error_type) == (ERROR, "TooManyProcesses")
    assert outcome.message == "the job had more than 64 processes at once"
    assert not stage.family()
    assert stage.run("self").kind == SUCCEEDED


def test_more_memory_than_its_type_may_have_ends_a_job(stage: Stage) -> None:
    assert stage.run("hog", mib=20).kind == SUCCEEDED
    outcome = stage.run("hog", mib=200)
    assert (outcome.kind, outcome.error_type) == (ERROR, "MemoryExceeded")
    assert outcome.message is not None
    assert "more than its memory_mb of 150" in outcome.message
    assert outcome.usage is not None
    assert outcome.usage.max_rss_mb > 150
    # The bound is its type's, not its child's.
    assert stage.run("burn", seconds=0.2, mib=250).kind == SUCCEEDED


def test_memory_that_processes_share_counts_once(stage: Stage) -> None:
    outcome = stage.run("hog", mib=80, children=4)
    assert outcome.kind == SUCCEEDED


def test_a_child_that_keeps_much_memory_is_not_kept_for_a_bounded_job(stage: Stage) -> None:
    stage.run("self")
    (cell,) = stage.children._idle
    cell.rss_mb = 100.0  # more than half of what the job may have
    assert stage.run("hog", mib=100).kind == SUCCEEDED
    assert len(stage.children._idle) == 2


def test_what_a_run_used_is_measured_for_it_alone(stage: Stage) -> None:
    large = stage.run("burn", seconds=0.3, mib=100).usage
    small = stage.run("self").usage
    assert large is not None
    assert small is not None
    assert large.cpu_seconds > 0.3 > small.cpu_seconds
    assert large.max_rss_mb > 100 + small.max_rss_mb / 2
    killed = stage.run("crash", how="kill").usage
    assert killed is not None
    assert killed.cpu_seconds < 0.3
    assert killed.max_rss_mb < large.max_rss_mb


def test_the_last_words_of_a_crash_are_kept_and_no_others(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.run("print", text="of another run")
    text = "\x1b[31mred\x1b[0m \x1b]0;title\x07é\0\x08!\r\nend\udce9"
    outcome = stage.run("crash", how="kill", text=text)
    assert outcome.output == "red é!\nend\\udce9"
    printed = "".join(capfd.readouterr())
    assert "of another run" not in printed, "the manager's own streams stay its own"
    assert "end" not in printed.splitlines()


def test_of_much_output_the_end_is_kept(stage: Stage) -> None:
    outcome = stage.run("crash", how="kill", text="x" * 300_000 + "the end")
    assert outcome.output is not None
    assert len(outcome.output) == 16_000
    assert outcome.output.endswith("xthe end")


def test_output_that_is_not_wanted_stops_nobody(stage: Stage) -> None:
    assert stage.run("print", text="y" * 120_000).kind == SUCCEEDED


def test_an_attempt_that_was_late_says_where_it_was(stage: Stage) -> None:
    running = stage.start("spin", text="so far")
    assert running.order.apart is not None
    running.order.apart.end(LATE)
    outcome = running.outcome()
    assert outcome.traceback is not None
    assert "in spin" in outcome.traceback
    assert "child.py" not in outcome.traceback
    assert "executor.py" not in outcome.traceback
    assert outcome.output == "so far"
    assert outcome.usage is not None
    assert outcome.usage.cpu_seconds > 0.1


def test_a_segfault_says_where_it_was(stage: Stage) -> None:
    outcome = stage.run("crash", how="segfault")
    assert outcome.traceback is not None
    assert "in crash" in outcome.traceback


def test_nothing_of_the_managers_is_open_in_a_child_or_its_warden(
    stage: Stage, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    mine, theirs = socket.socketpair()
    with mine, theirs, lock.open("w") as file:
        os.set_inheritable(file.fileno(), True)  # even what a careless library would pass on
        fcntl.flock(file, fcntl.LOCK_EX)
        running = [stage.start("obedient") for _ in range(2)]
        ours = opened(os.getpid())
        families = [[guard, *guard.children()] for guard in stage.wardens()]
        seen = [opened(one.pid) for family in families for one in family]
    for one in running:
        one.order.tell_to_stop()
        one.outcome()
    assert all(seen)
    assert str(lock) in ours
    for process in seen:
        assert not process & ours
    for first, second in ((0, 2), (0, 3), (1, 2), (1, 3)):
        assert not seen[first] & seen[second], "nor anything of each other's"
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def opened(pid: int) -> set[str]:
    """What a process has open, besides its standard streams, the folder that it works in, and what
    every process may share."""
    shared = ("/dev/null", "anon_inode:", str(Path.cwd()))
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # one is that with which the list was made
            target = str(path.readlink())
            if int(path.name) > 2 and not target.startswith(shared):
                found.add(target)
    return found


def test_a_warden_loads_next_to_nothing() -> None:
    script = (
        f"import sys; sys.path.append({str(ROOT)!r}); import manager.warden; print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-B", "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("manager.")} == {
        "manager.feed",
        "manager.processes",
        "manager.shortage",
        "manager.tail",
        "manager.warden",
    }
    assert not loaded & {"jobs", "json", "logging", "socket", "subprocess", "typing"}


def test_who_is_below_whom_can_be_read_in_two_ways(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = set(processes.below(os.getpid()))
    running = [stage.start("obedient") for _ in range(2)]
    listed = processes.below(os.getpid())
    assert len(set(listed) - others) == 4
    monkeypatch.setattr(processes, "_LISTS_CHILDREN", False)
    assert sorted(processes.below(os.getpid())) == sorted(listed)
    for one in running:
        one.order.tell_to_stop()
        one.outcome()

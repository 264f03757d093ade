"""Every bad end of a job in a process of its own is told in full, and leaves nothing running."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from manager.outcome import CRASHED, ERROR, SUCCEEDED, TIMED_OUT, Outcome
from tests.manager.stage import Stage, pids_in
from tests.support import wait_until

LATE = Outcome(TIMED_OUT, error_type="TimedOut", message="too long")
WORDS = "the last words"
FAMILY = "CAPATAZ_TEST_FAMILY"
GIB = 2**30


class End(NamedTuple):
    """A job, what it came to, and how its process ended, if it did."""

    job: str
    payload: dict[str, Any]
    kind: str
    error: str
    message: str
    signal: str | None = None
    code: int | None = None


def crash(how: str, message: str, name: str | None = None, code: int | None = None) -> End:
    message = f"the job's process {message}"
    return End("crash", {"how": how, "text": WORDS}, CRASHED, "Crashed", message, name, code)


CROWD = "the job had more than 64 processes at once"
ENDS = {
    "os._exit": crash("exit", "exited with code 3", code=3),
    "a segmentation fault": crash("segfault", "was killed by SIGSEGV", "SIGSEGV"),
    "SIGKILL": crash(
        "kill", "was killed by SIGKILL, by itself or by somebody outside Capataz", "SIGKILL"
    ),
    "an abort": crash("abort", "was killed by SIGABRT", "SIGABRT"),
    "a fork bomb": End("bomb", {"text": WORDS}, ERROR, "TooManyProcesses", CROWD, "SIGKILL"),
    "too much memory": End(
        "hog", {"mib": 200, "text": WORDS}, ERROR, "MemoryExceeded", "", "SIGKILL"
    ),
    "an exception that cannot be pickled": End(
        "raise", {"what": "odd"}, ERROR, "Odd", "(the error's own text could not be made)"
    ),
    "a result of 1 GiB": End("pieces", {"count": GIB // 2**20}, ERROR, "BadResult", ""),
}
HANGING = ("spin", "deaf", "daemon", "signals")


@pytest.fixture
def family(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What every process has in its environment that comes from this test; none does after it."""
    mark = os.urandom(8).hex()
    monkeypatch.setenv(FAMILY, mark)
    yield mark
    stage.children.close(0)
    assert not bearing(mark)


def bearing(mark: str) -> list[int]:
    """As `ps` would list them: zombies have no environment, but `Stage.family` knows those."""
    wanted = f"{FAMILY}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_bad_end_is_told_in_full_and_leaves_nothing(stage: Stage, family: str, end: End) -> None:
    outcome = stage.run(end.job, **end.payload)
    assert (outcome.kind, outcome.error_type) == (end.kind, end.error)
    assert (outcome.message or "").startswith(end.message)
    assert outcome.message
    assert (outcome.signal, outcome.exit_code) == (end.signal, end.code)
    assert outcome.run_seconds is not None
    assert outcome.usage is not None
    assert outcome.usage.max_rss_mb > 10
    assert outcome.usage.cpu_seconds >= 0
    if outcome.signal is not None or outcome.exit_code is not None:
        assert outcome.output == WORDS
        assert not bearing(family)
        assert not stage.family()
    assert stage.run("self").kind == SUCCEEDED


@pytest.mark.parametrize("job", HANGING)
def test_one_that_hangs_is_told_with_its_stack_and_leaves_nothing(
    stage: Stage, family: str, job: str
) -> None:
    """For ever in Python, in C, waiting behind a daemon with a session of its own, deaf to all
    signals that one can be deaf to."""
    daemon = stage.mark()
    payload = {"pids": str(daemon), "then": "wait"} if job == "daemon" else {}
    running = stage.start(job, text=WORDS, **payload)
    assert bearing(family)
    assert running.order.apart is not None
    assert running.order.apart.end(LATE)
    outcome = running.outcome()
    assert (outcome.kind, outcome.error_type) == (TIMED_OUT, "TimedOut")
    assert (outcome.message, outcome.signal, outcome.output) == (LATE.message, "SIGKILL", WORDS)
    assert outcome.usage is not None
    assert outcome.usage.max_rss_mb > 10
    assert outcome.usage.cpu_seconds > (0.1 if job == "spin" else 0)
    assert outcome.traceback is not None
    assert f"in {job}" in outcome.traceback
    assert not bearing(family)
    assert not stage.family()
    if job == "daemon":
        assert len(pids_in(daemon)) == 1


def test_one_that_is_ended_from_outside_is_told_so(stage: Stage, family: str) -> None:
    running = stage.start("deaf", text=WORDS)
    (warden,) = stage.wardens()
    (child,) = warden.children()
    child.send_signal(signal.SIGKILL)
    outcome = running.outcome()
    assert outcome.message is not None
    assert outcome.message.endswith("SIGKILL, by itself or by somebody outside Capataz")
    assert outcome.output == WORDS
    wait_until(lambda: not bearing(family), "nothing is left")

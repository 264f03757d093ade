"""Round trips of one job in a thread and in a child process, and what a new child costs.

One run after the other from one thread, no database: the request goes to the job, its payload
comes back as the result. `new child` starts a process with its warden, runs one job in it, and
ends it with all that is below. `replaced` are runs after each of which the child is ended and
another started, since the job left a pipe open. `put back` is what a child does after every run so
that the next finds nothing of it; it is part of the runs above.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable

import structlog

from bench.figures import Figure, percentile
from jobs import registry
from ledger import Claimed, new_id
from manager.assignment import Assignment
from manager.children import Children
from manager.executor import run
from manager.outcome import SUCCEEDED, Outcome

# It is the same on all of them.
WITHOUT_DATABASE = True
MODULES = ("bench.jobs",)
SIZES = {"100 bytes": 100, "100 KiB": 100 * 1024}
RUNS = 2_000
FIRST_RUNS = 50
STARTS = 20
# In a process of its own, since it takes over the standard streams.
PUT_BACK = """
import os, statistics, sys, time
from jobs import registry
from manager.interpreter_state import InterpreterState
from manager.process_state import ProcessState, keep_stacks
registry.load(sys.argv[1].split(","))
ours = os.open(os.devnull, os.O_WRONLY), os.dup(1), os.dup(2)
keep_stacks(ours[0])
states = ProcessState(ours[0], ours[1:]), InterpreterState()
seconds = []
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    for state in states:
        state.restore()
    seconds.append(time.perf_counter() - began)
print(statistics.median(seconds))
"""


def measure(_url: str) -> list[Figure]:
    """Measure each kind of worker with each size of payload."""
    registry.load(MODULES)
    # Why each child of `replaced` is ended would stand among the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures = []
    children = Children(MODULES)
    try:
        for who, runner in (("thread", run), ("child", children.run)):
            for size, characters in SIZES.items():
                seconds = _times(runner, characters, RUNS)
                figures += [
                    Figure(f"runs, {who}, {size}", len(seconds) / sum(seconds), "/s"),
                    Figure(f"p99 of a run, {who}, {size}", percentile(seconds, 99) * 1e6, "µs"),
                ]
    finally:
        children.close()
    figures.append(Figure("new child", percentile(_starts(), 50) * 1e3, "ms"))
    figures.append(Figure("runs, child replaced after each", *_replaced(), 1))
    figures.append(Figure("put back", _put_back() * 1e6, "µs", 1))
    return figures


def _replaced() -> tuple[float, str]:
    """Runs a second when none finds a child to use again."""
    children = Children(MODULES)
    try:
        seconds = [_time(children.run, 100, "litter") for _ in range(STARTS)]
    finally:
        children.close()
    return len(seconds) / sum(seconds), "/s"


def _put_back() -> float:
    """Seconds that it takes to find that nothing has changed: the median."""
    command = [sys.executable, "-c", PUT_BACK, ",".join(MODULES), str(RUNS)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _times(runner: Callable[[Assignment], Outcome], characters: int, count: int) -> list[float]:
    """How long each of so many runs took, in seconds, after some that do not count."""
    return [_time(runner, characters) for _ in range(FIRST_RUNS + count)][FIRST_RUNS:]


def _starts() -> list[float]:
    seconds = []
    for _ in range(STARTS):
        began = time.perf_counter()
        children = Children(MODULES)
        _time(children.run, 100)
        children.close()
        seconds.append(time.perf_counter() - began)
    return seconds


def _time(runner: Callable[[Assignment], Outcome], characters: int, kind: str = "echo") -> float:
    payload = '{"text":"' + "x" * characters + '"}'
    order = Claimed(new_id(), kind, "default", 2, payload, 1, 1, 0, 1, 60_000, None, 0)
    assignment = Assignment(order)
    began = time.perf_counter()
    outcome = runner(assignment)
    seconds = time.perf_counter() - began
    if outcome.kind != SUCCEEDED:
        raise RuntimeError(f"the run failed: {outcome.error_type}: {outcome.message}")
    return seconds

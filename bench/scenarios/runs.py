"""Round trips of one job in a thread and in a child process, and what a new child costs.

One run after the other from one thread, no database: the request goes to the job, its payload
comes back as the result. `new child` starts a process with its warden, runs one job in it, and
ends it with all that is below.
"""

from __future__ import annotations

import time
from collections.abc import Callable

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


def measure(_url: str) -> list[Figure]:
    """Measure each kind of worker with each size of payload."""
    registry.load(MODULES)
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
    return figures


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


def _time(runner: Callable[[Assignment], Outcome], characters: int) -> float:
    payload = '{"text":"' + "x" * characters + '"}'
    order = Claimed(new_id(), "echo", "default", 2, payload, 1, 1, 0, 1, 60_000, None, 0)
    assignment = Assignment(order)
    began = time.perf_counter()
    outcome = runner(assignment)
    seconds = time.perf_counter() - began
    if outcome.kind != SUCCEEDED:
        raise RuntimeError(f"the run failed: {outcome.error_type}: {outcome.message}")
    return seconds

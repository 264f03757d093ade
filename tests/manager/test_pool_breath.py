"""The pool breathes: it grows at once, shrinks after a quiet time, and never flaps."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from manager.demand import Demand
from manager.pool import ADDED, LOST, REMOVED, REPLACED, ManageWorker, NoFreeSlot
from manager.worker import WorkerThread
from tests.support import wait_until

QUIET = 60.0


class Breathing:
    """A pool, what became of its threads, and a clock of the test's own."""

    def __init__(self, pool: ManageWorker) -> None:
        self.pool = pool
        self.changes: list[tuple[str, str]] = []
        self.now = 1_000.0
        pool.on_change = lambda change, name: self.changes.append((change, name))

    def breathe(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.pool.breathe(self.now)

    def load(self, count: int) -> threading.Event:
        """Give it so much to do at once, until the event is set."""
        go = threading.Event()
        for _ in range(count):
            self.pool.queue(go.wait, {"timeout": 20}, timeout=0)
        return go

    def worked(self, count: int) -> None:
        """So much at once, and the end of it."""
        self.load(count).set()
        assert self.pool.wait_idle(10)

    def size(self) -> int:
        return len(self.pool.members())

    def sinks_to(self, size: int) -> None:
        wait_until(lambda: self.size() == size, f"{self.size()} threads instead of {size}")

    def names(self, kind: str) -> list[str]:
        return [name for change, name in self.changes if change == kind]


@contextmanager
def breathing(workers: int, **options: int) -> Iterator[Breathing]:
    pool = ManageWorker(workers, quiet_seconds=QUIET, name="m", **options)
    try:
        yield Breathing(pool)
    finally:
        pool.stop(5)


def test_it_grows_at_once_while_there_is_more_to_do() -> None:
    with breathing(8, backlog=100) as pool:
        assert pool.size() == 0
        held = []
        for load, size in ((3, 3), (2, 5), (10, 8)):
            held.append(pool.load(load))
            assert pool.size() == size
        assert pool.names(ADDED) == [f"m/{n}" for n in range(1, 9)]
        for go in held:
            go.set()


def test_the_least_are_there_from_the_first_breath_on() -> None:
    with breathing(8, min_workers=3) as pool:
        pool.breathe()
        assert pool.size() == 3
        for _ in range(200):
            pool.breathe()
        assert pool.size() == 3
        assert pool.names(REMOVED) == []


def test_it_shrinks_to_what_the_quiet_time_needed_and_no_further() -> None:
    with breathing(8, min_workers=2) as pool:
        pool.worked(7)
        for _ in range(30):
            pool.breathe()
            pool.worked(4)
        for _ in range(29):
            pool.breathe()
        assert (pool.size(), pool.names(REMOVED)) == (7, [])
        for _ in range(3):
            pool.breathe()
        pool.sinks_to(4)
        for _ in range(27):
            pool.breathe()
        assert pool.size() == 4
        for _ in range(10):
            pool.breathe()
        pool.sinks_to(2)
        assert len(pool.names(ADDED)) == 7
        assert len(set(pool.names(REMOVED))) == 5


def test_a_load_between_two_breaths_is_not_overlooked() -> None:
    with breathing(8) as pool:
        for _ in range(300):
            pool.breathe(0.5)
            pool.worked(5)
            pool.breathe(0.5)
        assert pool.size() == 5
        assert pool.changes == [(ADDED, f"m/{n}") for n in range(1, 6)]


def test_a_load_that_goes_up_and_down_makes_no_worker_come_and_go() -> None:
    with breathing(8, min_workers=1) as pool:
        pool.worked(8)
        before = set(pool.pool.members())
        for load in itertools.islice(itertools.cycle((8, 0, 1, 0, 0)), 500):
            pool.worked(load)
            pool.breathe()
        assert set(pool.pool.members()) == before
        assert pool.names(REMOVED) == []


def test_what_runs_is_not_shrunk_away() -> None:
    with breathing(4) as pool:
        go, more = pool.load(3), pool.load(1)
        more.set()
        wait_until(lambda: pool.pool.load() == 3)
        for _ in range(200):
            pool.breathe()
        pool.sinks_to(3)
        go.set()
        assert pool.pool.wait_idle(5)
        for _ in range(70):
            pool.breathe()
        pool.sinks_to(0)


def test_what_shrank_grows_again_at_once() -> None:
    with breathing(4, min_workers=1) as pool:
        for _ in range(3):
            pool.worked(4)
            for _ in range(62):
                pool.breathe()
            pool.sinks_to(1)
        go = pool.load(4)
        wait_until(lambda: len(pool.pool.workers) == 4)
        go.set()
        names = pool.names(ADDED)
        assert len(names) == len(set(names)) == 13, "no name is ever given twice"


def test_shrinking_and_growing_at_once_loses_no_work_and_keeps_the_bounds() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    lock = threading.Lock()
    now = most = ran = 0

    def target() -> None:
        nonlocal now, most, ran
        with lock:
            now += 1
            ran += 1
            most = max(most, now)
        with lock:
            now -= 1

    pool = ManageWorker(4, backlog=50, quiet_seconds=0.5)
    clock = itertools.count(1_000)
    try:
        for round_ in range(400):
            for _ in range(round_ % 9):
                pool.queue(target)
            pool.breathe(float(next(clock)))
        assert pool.wait_idle(10)
        assert pool.stop(5)
    finally:
        sys.setswitchinterval(interval)
    assert ran == sum(round_ % 9 for round_ in range(400))
    assert most <= 4


def test_a_stop_while_it_shrinks_runs_what_was_taken_and_ends_all_threads() -> None:
    for _ in range(100):
        pool = ManageWorker(4, backlog=50, quiet_seconds=0.5)
        for _ in range(4):
            pool.queue(int)
        assert pool.wait_idle(5)
        pool.breathe(1_000)
        pool.breathe(1_001)
        workers = [pool.queue(lambda: 7) for _ in range(20)]
        assert pool.stop(5)
        assert [worker.result for worker in workers] == [7] * 20


def test_a_stopped_pool_breathes_no_more() -> None:
    pool = ManageWorker(4, min_workers=2)
    pool.stop()
    pool.breathe()
    assert pool.members() == []


def test_a_withdrawal_keeps_who_is_leaving_leaving() -> None:
    with breathing(3) as pool:
        go = pool.load(3)
        wait_until(lambda: len(pool.pool.workers) == 3)
        for worker in list(pool.pool.workers)[:2]:
            pool.pool.abandon(worker)  # so that two threads are free, and three busy
        wait_until(lambda: pool.pool.load() == 1)
        pool.breathe()
        pool.breathe(QUIET)
        pool.pool.withdraw()
        pool.sinks_to(3)  # one at work, two left behind
        go.set()
        pool.sinks_to(1)


def test_what_hangs_is_replaced_and_removed_when_it_ends() -> None:
    with breathing(1) as pool:
        go = threading.Event()
        pool.pool._queue("hung", go.wait, {"timeout": 20})
        wait_until(lambda: "hung" in pool.pool.workers)
        pool.pool.abandon("hung")
        assert pool.changes == [(ADDED, "m/1"), (REPLACED, "m/1"), (ADDED, "m/2")]
        hung = {member.name: member.hung_in for member in pool.pool.members()}
        assert hung == {"m/1": "hung", "m/2": None}
        go.set()
        wait_until(lambda: pool.changes[3:] == [(REMOVED, "m/1")])


def test_a_thread_that_an_error_ends_is_lost_and_replaced_and_its_slot_is_free() -> None:
    with breathing(1, backlog=5) as pool, structlog.testing.capture_logs() as logs:

        def broken() -> None:
            pool.pool.on_room = None
            raise OSError("of the test")

        pool.pool.on_room = broken
        pool.pool.queue(int)
        after = pool.pool.queue(lambda: "alive")
        assert pool.pool.wait_idle(5)
        assert after.result == "alive"
        wait_until(lambda: len(pool.changes) == 3)
        assert pool.changes == [(ADDED, "m/1"), (LOST, "m/1"), (ADDED, "m/2")]
        assert pool.pool.is_available_slot()
        assert [line["worker"] for line in logs] == ["m/1"]


def test_a_thread_counts_what_it_served() -> None:
    with breathing(1, backlog=20) as pool:
        for _ in range(20):
            pool.pool.queue(int)
        (member,) = pool.pool.members()
        wait_until(lambda: member.done == 20)
        assert member.is_ready


class Poor(ManageWorker):
    """A pool whose system gives it no more than so many threads."""

    most = 0

    def _start_thread(self) -> None:
        if len(self._threads) >= self.most:
            raise RuntimeError("can't start new thread")
        super()._start_thread()


def test_with_fewer_threads_than_wanted_all_is_done_all_the_same() -> None:
    pool = Poor(4)
    pool.most = 1
    go = threading.Event()
    workers = [pool.queue(lambda: go.wait(20) and 7) for _ in range(4)]
    go.set()
    assert pool.wait_idle(5)
    assert [worker.result for worker in workers] == [7] * 4
    pool.most = 4
    pool.breathe()
    assert len(pool.members()) == 4, "the next breath tries again"
    assert pool.stop(5)


def test_without_any_thread_the_caller_is_told_and_keeps_its_work() -> None:
    pool = Poor(2)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no thread"):
            pool.queue(int)
    assert pool.load() == 0
    pool.most = 2
    assert pool.queue(lambda: 7)
    assert pool.wait_idle(5)
    assert pool.stop(5)


def test_a_full_pool_does_not_grow_beyond_its_bounds() -> None:
    with breathing(2) as pool:
        go = pool.load(2)
        with pytest.raises(NoFreeSlot):
            pool.pool.queue(int, timeout=0)
        pool.breathe()
        assert pool.size() == 2
        go.set()


def test_demand_is_the_highest_of_the_time() -> None:
    demand = Demand(10)
    seen = [demand.look(now, peak) for now, peak in ((0, 5), (1, 3), (9.9, 0), (10, 0), (11, 1))]
    assert seen == [5, 5, 5, 3, 1]
    assert demand.look(500, 0) == 0


def test_a_worker_thread_is_a_daemon_with_a_name() -> None:
    served: list[WorkerThread] = []
    thread = WorkerThread("one", served.append)
    thread.start()
    thread.join(5)
    assert (served, thread.name, thread.daemon, thread.is_ready) == ([thread], "one", True, True)

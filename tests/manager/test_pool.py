"""The pool and its workers, used alone: the interface, the bounds, the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from manager.pool import ManageWorker, NoFreeSlot
from manager.worker import Worker
from tests.support import wait_until


@contextmanager
def pool_of(workers: int, backlog: int = 0) -> Iterator[ManageWorker]:
    pool = ManageWorker(workers, backlog=backlog)
    try:
        yield pool
    finally:
        pool.stop(5)


def test_a_queued_target_runs_on_a_worker_of_its_own() -> None:
    with pool_of(2) as pool:
        worker = pool.queue(lambda a, b: a + b, {"a": 1, "b": 2})
        assert isinstance(worker, Worker)
        assert pool.wait_idle(5)
        assert worker.result == 3
        assert worker.error is None
        assert worker.thread is not None
        assert worker.thread is not threading.current_thread()


def test_a_target_needs_no_arguments() -> None:
    with pool_of(1) as pool:
        worker = pool.queue(lambda: "done")
        assert pool.wait_idle(5)
        assert worker.result == "done"


def test_workers_holds_what_is_in_execution_by_guid() -> None:
    go = threading.Event()
    with pool_of(2) as pool:
        worker = pool._queue("mine", go.wait, {"timeout": 10})
        wait_until(lambda: "mine" in pool.workers)
        assert pool.workers == {"mine": worker}
        assert worker.guid == "mine"
        assert worker.delegate == go.wait
        assert worker.thread in threading.enumerate()
        go.set()
        assert pool.wait_idle(5)
        assert pool.workers == {}


def test_guids_made_by_the_pool_differ() -> None:
    with pool_of(4) as pool:
        guids = {pool.queue(int).guid for _ in range(100)}
        assert len(guids) == 100


def test_a_guid_in_use_is_refused_and_free_again_afterwards() -> None:
    go = threading.Event()
    with pool_of(2) as pool:
        pool._queue("mine", go.wait, {"timeout": 10})
        with pytest.raises(ValueError, match="mine is there already"):
            pool._queue("mine", int)
        go.set()
        assert pool.wait_idle(5)
        pool._queue("mine", int)


def test_a_free_slot_is_told_under_both_spellings() -> None:
    go = threading.Event()
    with pool_of(1) as pool:
        assert pool.max_workers == 1
        assert pool.is_available_slot() is pool.isAvaibleSlot() is True
        pool.queue(go.wait, {"timeout": 10})
        assert pool.is_available_slot() is pool.isAvaibleSlot() is False
        go.set()
        assert pool.wait_idle(5)
        assert pool.is_available_slot() is pool.isAvaibleSlot() is True


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_of_nobody_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match="max_workers"):
        ManageWorker(workers)


def test_the_interface_is_what_was_agreed_upon() -> None:
    """By keyword and by place, as those call it who know nothing of this one."""
    with pool_of(2) as pool:
        first = pool.queue(target=lambda x: x, kwargs={"x": 1})
        second = pool._queue(guid="mine", target=lambda: 2, kwargs={})
        third = pool._queue("other", lambda x: x, {"x": 3})
        assert pool.wait_idle(5)
        assert [one.result for one in (first, second, third)] == [1, 2, 3]
        assert [type(one) for one in (first, second, third)] == [Worker] * 3
        assert (second.guid, third.guid) == ("mine", "other")
        assert pool.finish(guid="mine") is None  # type: ignore[func-returns-value]
        assert type(pool.is_available_slot()) is type(pool.isAvaibleSlot()) is bool
    assert ManageWorker(max_workers=3).max_workers == 3


def test_finish_gives_the_slot_back_while_its_target_runs_on() -> None:
    go = threading.Event()
    with pool_of(1) as pool:
        worker = pool.queue(go.wait, {"timeout": 10})
        wait_until(lambda: worker.guid in pool.workers)
        worker.finish()
        assert pool.workers == {}
        assert pool.is_available_slot()
        go.set()


def test_finish_is_idempotent_for_the_pool_and_for_the_worker() -> None:
    with pool_of(1) as pool:
        worker = pool.queue(int)
        assert pool.wait_idle(5)
        for _ in range(3):
            pool.finish(worker.guid)
            worker.finish()
        pool.finish("nobody ever had this guid")
        assert pool.load() == 0
        assert pool.is_available_slot()


def test_a_worker_runs_without_a_pool() -> None:
    worker = Worker("alone", lambda x: x * 2, {"x": 21})
    assert worker.thread is None
    worker.run()
    worker.finish()
    assert worker.result == 42
    assert worker.thread is threading.current_thread()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_raising_target_harms_neither_thread_nor_slot(error: type[BaseException]) -> None:
    def raising() -> None:
        raise error("of the test")

    with pool_of(1) as pool:
        first = pool.queue(raising)
        second = pool.queue(lambda: "alive", timeout=5)
        assert pool.wait_idle(5)
        assert type(first.error) is error
        assert second.result == "alive"
        assert first.thread is second.thread


def test_threads_are_reused_and_made_only_when_needed() -> None:
    with pool_of(8) as pool:
        threads = set()
        for _ in range(50):
            worker = pool.queue(int)
            assert pool.wait_idle(5)
            threads.add(worker.thread)
        assert len(threads) == 1


def test_never_more_than_max_workers_at_once_under_many_callers() -> None:
    lock = threading.Lock()
    now = most = 0
    workers: list[Worker] = []

    def target() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.0005)  # so that executions overlap
        with lock:
            now -= 1

    with pool_of(4) as pool:

        def caller() -> None:
            workers.extend(pool.queue(target, timeout=20) for _ in range(25))

        callers = [threading.Thread(target=caller) for _ in range(16)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join(30)
        assert pool.wait_idle(10)
    assert len(workers) == 400
    assert all(w.error is None for w in workers)
    assert most == 4
    assert len({w.thread for w in workers}) <= 4


def test_without_a_free_slot_queue_waits_and_no_longer_than_told() -> None:
    go = threading.Event()
    with pool_of(1) as pool:
        pool.queue(go.wait, {"timeout": 10})
        begin = time.monotonic()
        with pytest.raises(NoFreeSlot, match="no slot"):
            pool.queue(int, timeout=0.1)
        assert 0.1 <= time.monotonic() - begin < 2
        threading.Timer(0.05, go.set).start()
        assert pool.queue(lambda: 7, timeout=5).guid
        assert pool.wait_idle(5)
        assert pool.load() == 0


def test_a_slot_that_comes_free_ends_every_wait_for_it() -> None:
    """One caller waits until the pool is idle, another for a slot: both must hear of the end."""
    go = threading.Event()
    got: list[Worker] = []
    with pool_of(1) as pool:
        pool.queue(go.wait, {"timeout": 20})
        idle = threading.Thread(target=pool.wait_idle, args=(20,))
        idle.start()
        wait_until(lambda: pool._waiting == 1)
        queuer = threading.Thread(target=lambda: got.append(pool.queue(int, timeout=6)))
        queuer.start()
        wait_until(lambda: pool._waiting == 2)
        begin = time.monotonic()
        go.set()
        queuer.join(20)
        idle.join(20)
        assert len(got) == 1
        assert time.monotonic() - begin < 3, "the free slot was seen only at the timeout"


def test_a_backlog_starts_in_order() -> None:
    go = threading.Event()
    order: list[int] = []
    with pool_of(1, backlog=20) as pool:
        pool.queue(go.wait, {"timeout": 10})
        for number in range(20):
            pool.queue(lambda n=number: order.append(n), timeout=0)
        assert pool.load() == 21
        with pytest.raises(NoFreeSlot):
            pool.queue(int, timeout=0)
        go.set()
        assert pool.wait_idle(5)
    assert order == list(range(20))


def test_what_was_withdrawn_never_runs_and_is_named() -> None:
    go = threading.Event()
    ran: list[int] = []
    with pool_of(1, backlog=10) as pool:
        running = pool.queue(go.wait, {"timeout": 10})
        wait_until(lambda: running.guid in pool.workers)
        waiting = [pool.queue(lambda: ran.append(1)) for _ in range(10)]
        assert pool.withdraw() == waiting
        assert pool.load() == 1
        go.set()
        assert pool.wait_idle(5)
    assert ran == []


def test_a_withdrawal_while_workers_take_from_the_backlog_ends() -> None:
    """The last one waiting may be taken by a worker between the look and the grasp."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    done = threading.Event()

    def withdraw_often() -> None:
        for _ in range(300):
            pool = ManageWorker(2, backlog=20)
            for _ in range(12):
                pool.queue(int)
            pool.withdraw()
            pool.stop(5)
        done.set()

    try:
        threading.Thread(target=withdraw_often, daemon=True).start()
        assert done.wait(10), "withdraw waits for ever for what a worker has taken"
    finally:
        sys.setswitchinterval(interval)

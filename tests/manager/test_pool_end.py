"""How the pool ends, and how it lives with what does not end."""

from __future__ import annotations

import sys
import threading

import pytest

from manager.pool import ManageWorker, PoolStopped
from tests.support import wait_until


def test_a_hung_execution_is_abandoned_and_its_slot_replaced() -> None:
    go = threading.Event()
    pool = ManageWorker(1)
    hung = pool._queue("hung", go.wait, {"timeout": 20})
    wait_until(lambda: "hung" in pool.workers)
    assert pool.abandon("hung")
    assert pool.hung() == 1
    assert pool.is_available_slot()
    after = pool.queue(threading.current_thread, timeout=5)
    assert pool.wait_idle(5)
    assert after.result is not hung.thread
    go.set()
    wait_until(lambda: pool.hung() == 0, "the abandoned thread ends with its function")
    assert pool.load() == 0
    assert pool.stop(5)


def test_abandoning_twice_or_after_the_end_changes_nothing() -> None:
    go = threading.Event()
    pool = ManageWorker(1)
    pool._queue("hung", go.wait, {"timeout": 20})
    wait_until(lambda: "hung" in pool.workers)
    assert pool.abandon("hung")
    assert not pool.abandon("hung")
    assert not pool.abandon("never there")
    assert pool.hung() == 1
    go.set()
    assert pool.stop(5)


def test_the_end_of_an_abandoned_execution_does_not_end_its_namesake() -> None:
    first, second = threading.Event(), threading.Event()
    pool = ManageWorker(1)
    hung = pool._queue("same", first.wait, {"timeout": 20})
    wait_until(lambda: "same" in pool.workers)
    pool.abandon("same")
    pool._queue("same", second.wait, {"timeout": 20})
    wait_until(lambda: "same" in pool.workers)
    first.set()
    assert hung.thread is not None
    hung.thread.join(5)
    still_there, load = "same" in pool.workers, pool.load()
    second.set()
    assert pool.stop(5)
    assert still_there
    assert load == 1


def test_a_stopped_pool_takes_nothing_and_ends_its_threads() -> None:
    pool = ManageWorker(3)
    workers = [pool.queue(int) for _ in range(3)]
    assert pool.wait_idle(5)
    assert pool.stop(5)
    assert not pool.is_available_slot()
    with pytest.raises(PoolStopped):
        pool.queue(int)
    assert not any(w.thread is not None and w.thread.is_alive() for w in workers)


def test_stop_is_safe_twice_and_before_any_work() -> None:
    pool = ManageWorker(2)
    assert pool.stop(1)
    assert pool.stop(1)
    pool = ManageWorker(2)
    pool.queue(int)
    assert pool.stop(5)
    assert pool.stop(5)


def test_stop_lets_what_was_taken_end() -> None:
    go = threading.Event()
    ended: list[int] = []
    pool = ManageWorker(1, backlog=5)
    pool.queue(go.wait, {"timeout": 10})
    for number in range(5):
        pool.queue(lambda n=number: ended.append(n))
    assert not pool.stop(0), "it runs still"
    go.set()
    assert pool.stop(5)
    assert ended == [0, 1, 2, 3, 4]


def test_a_stop_ends_a_wait_for_a_slot() -> None:
    go = threading.Event()
    refused = threading.Event()
    pool = ManageWorker(1)
    pool.queue(go.wait, {"timeout": 10})

    def wait_for_slot() -> None:
        with pytest.raises(PoolStopped):
            pool.queue(int, timeout=20)
        refused.set()

    thread = threading.Thread(target=wait_for_slot)
    thread.start()
    wait_until(lambda: pool._waiting == 1)
    pool.stop(0)
    assert refused.wait(5)
    thread.join(5)
    go.set()
    assert pool.stop(5)


def test_withdrawing_from_a_stopped_pool_leaves_its_threads_their_end() -> None:
    go = threading.Event()
    pool = ManageWorker(2, backlog=5)
    for _ in range(4):
        pool.queue(go.wait, {"timeout": 10})
    wait_until(lambda: len(pool.workers) == 2)
    pool.stop(0)
    assert len(pool.withdraw()) == 2
    go.set()
    pool.stop(5)  # the gate sees to it that no thread is left


def test_what_a_pool_accepts_it_runs_even_when_it_is_stopped_just_then() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    accepted: list[int] = []
    ran: list[int] = []
    try:
        for _ in range(150):
            pool = ManageWorker(2, backlog=50)
            pool.queue(int)

            def submit(pool: ManageWorker = pool) -> None:
                try:
                    for _ in range(40):
                        pool.queue(lambda: ran.append(1))
                        accepted.append(1)
                except PoolStopped:
                    pass

            thread = threading.Thread(target=submit)
            thread.start()
            stopped = pool.stop(3)
            thread.join(5)
            assert pool.stop(3), "an accepted target waits behind the end of all threads"
            assert stopped
    finally:
        sys.setswitchinterval(interval)
    assert len(ran) == len(accepted)


def test_idle_is_waited_for_no_longer_than_told() -> None:
    go = threading.Event()
    pool = ManageWorker(1)
    assert pool.wait_idle(0)
    pool.queue(go.wait, {"timeout": 10})
    assert not pool.wait_idle(0.05)
    go.set()
    assert pool.wait_idle(5)
    assert pool.stop(5)


def test_room_is_announced_when_a_slot_is_free_and_at_the_low_mark() -> None:
    go = threading.Event()
    loads: list[int] = []
    pool = ManageWorker(1, backlog=10)
    pool.low_mark = 3
    pool.on_room = lambda: loads.append(pool.load())
    pool.queue(go.wait, {"timeout": 10})
    for _ in range(5):
        pool.queue(int)
    go.set()
    assert pool.wait_idle(5)
    assert pool.stop(5)
    assert loads == [3, 0]

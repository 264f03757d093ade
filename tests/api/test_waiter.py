"""Parked requests: one statement for all, a bound on their number, and a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import ledger
from api import queries
from api import waiter as module
from api.waiter import Waiter
from database import Database, DatabaseAway
from tests import factories
from tests.api.calls import NOBODY
from tests.support import wait_until


@pytest.fixture
def waiter(database: Database) -> Iterator[Waiter]:
    made = Waiter(database, room=50)
    yield made
    made.close()


def test_each_is_woken_by_its_own_order(waiter: Waiter, database: Database) -> None:
    ids = [factories.submit(database) for _ in range(20)]
    ended: dict[str, float] = {}

    def wait(order_id: str) -> None:
        assert waiter.wait(order_id, 20)
        ended[order_id] = time.monotonic()

    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(wait, order_id) for order_id in ids * 2]
        wait_until(lambda: waiter._count == 40)
        for order_id in ids[:5]:
            ledger.cancel(database, order_id)
        wait_until(lambda: waiter._count == 30)
        assert set(ended) == set(ids[:5])
        for order_id in ids[5:]:
            ledger.cancel(database, order_id)
        for future in futures:
            future.result(20)
    assert waiter._parked == {}


def test_an_order_that_is_gone_is_not_waited_for(waiter: Waiter) -> None:
    begin = time.monotonic()
    assert waiter.wait(NOBODY, 20)
    assert time.monotonic() - begin < 10


def test_beyond_its_room_a_wait_ends_at_once(waiter: Waiter, database: Database) -> None:
    order_id = factories.submit(database)
    waiter.room = 1
    thread = threading.Thread(target=waiter.wait, args=(order_id, 20))
    thread.start()
    wait_until(lambda: waiter._count == 1)
    assert not waiter.wait(order_id, 20)
    ledger.cancel(database, order_id)
    thread.join()
    assert waiter.wait(order_id, 20)


def test_a_release_answers_all(waiter: Waiter, database: Database) -> None:
    order_id = factories.submit(database)
    threads = [threading.Thread(target=waiter.wait, args=(order_id, 20)) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: waiter._count == 5)
    begin = time.monotonic()
    waiter.release()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begin < 10
    assert not waiter.wait(order_id, 20)


def test_a_database_that_is_away_answers_all(
    waiter: Waiter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseAway("gone")

    monkeypatch.setattr(module, "unfinished", away)
    begin = time.monotonic()
    assert waiter.wait(factories.submit(database), 20)
    assert time.monotonic() - begin < 10


def test_nothing_is_asked_while_nobody_waits(
    waiter: Waiter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    unfinished = queries.unfinished

    def counted(database: Database, ids: list[str]) -> set[str]:
        asked.append(ids)
        return unfinished(database, ids)

    monkeypatch.setattr(module, "unfinished", counted)
    waiter.wait(factories.submit(database), 0.1)
    count = len(asked)
    assert count >= 1
    time.sleep(5 * module.POLL_SECONDS)  # what does not happen can only be waited for
    assert len(asked) <= count + 1

"""Group commit: what is accepted is committed, and nobody suffers for another's request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ledger
from api.committer import Accepted, Committer
from api.errors import Busy
from database import Database, DatabaseAway
from ledger import KeyReused, NewOrder, Receipt, Request
from ledger.hints import Bell
from tests import factories
from tests.support import wait_until


class Rings(Bell):
    """Counts instead of ringing."""

    def __init__(self) -> None:
        self.count = 0

    def ring(self, hint: str = "work") -> None:
        self.count += 1


@pytest.fixture
def bell() -> Rings:
    return Rings()


@pytest.fixture
def committer(database: Database, bell: Rings) -> Iterator[Committer]:
    made = Committer(database, bell)
    yield made
    made.close()


def request(key: str | None = None, digest: bytes = b"d", **columns: Any) -> Request:
    return Request([factories.new_order(**columns)], "", key, digest if key else b"")


class Gate:
    """Holds the ledger's submit until opened, and notes the size of each batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        self.open = threading.Event()
        self._submit = ledger.submit
        monkeypatch.setattr(ledger, "submit", self)

    def __call__(self, database: Database, requests: list[Request]) -> list[Receipt]:
        self.batches.append(len(requests))
        assert self.open.wait(20)
        return self._submit(database, requests)


def in_threads(*calls: Callable[[], Any]) -> tuple[ThreadPoolExecutor, list[Any]]:
    pool = ThreadPoolExecutor(len(calls))
    return pool, [pool.submit(call) for call in calls]


def test_all_that_waits_is_one_commit(
    committer: Committer, database: Database, bell: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first, _ = in_threads(lambda: committer.submit(request()))
    wait_until(lambda: gate.batches)
    others, futures = in_threads(*[lambda: committer.submit(request())] * 30)
    wait_until(lambda: len(committer._queue) == 30)
    gate.open.set()
    accepted = [future.result(20) for future in futures]
    first.shutdown()
    others.shutdown()
    assert gate.batches == [1, 30]
    assert bell.count == 2
    assert len({one.ids[0] for one in accepted}) == 30
    for one in accepted:
        row = ledger.find(database, one.ids[0])
        assert (row.created_on, row.run_at) == (one.created_on, one.run_at)


def test_one_bad_request_harms_no_other(
    committer: Committer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first, _ = in_threads(lambda: committer.submit(request()))
    wait_until(lambda: gate.batches)
    bad = request(priority="not a number", max_attempts=None)
    calls = [lambda: committer.submit(request()) for _ in range(10)]
    calls.insert(5, lambda: committer.submit(bad))
    others, futures = in_threads(*calls)
    wait_until(lambda: len(committer._queue) == 11)
    gate.open.set()
    failed = [future.exception(20) for future in futures]
    first.shutdown()
    others.shutdown()
    assert [error is not None for error in failed] == [place == 5 for place in range(11)]
    assert not isinstance(failed[5], (DatabaseAway, Busy))
    assert ledger.levels(database).by_status == {"pending": 11}


def test_a_key_twice_in_one_batch_is_a_replay_and_a_refusal(
    committer: Committer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first, _ = in_threads(lambda: committer.submit(request()))
    wait_until(lambda: gate.batches)
    others, futures = in_threads(
        lambda: committer.submit(request("k")),
        lambda: committer.submit(request("k")),
        lambda: committer.submit(request("other")),
    )
    wait_until(lambda: len(committer._queue) == 3)
    gate.open.set()
    one, two, other = (future.result(20) for future in futures)
    first.shutdown()
    others.shutdown()
    assert sorted([one.replayed, two.replayed]) == [False, True]
    assert one.ids == two.ids != other.ids
    with pytest.raises(KeyReused):
        committer.submit(request("k", b"another body"))
    assert ledger.levels(database).by_status == {"pending": 3}


def test_a_request_that_was_not_begun_is_withdrawn(
    database: Database, bell: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    committer = Committer(database, bell, wait_seconds=0.2)
    first, futures = in_threads(lambda: committer.submit(request()))
    wait_until(lambda: gate.batches)
    with pytest.raises(Busy, match="accepted nothing"):
        committer.submit(request())
    with pytest.raises(Busy, match="not known"):
        futures[0].result(20)
    gate.open.set()
    first.shutdown()
    committer.close()
    assert ledger.levels(database).by_status == {"pending": 1}


def test_a_database_that_is_away_is_told_to_each(
    committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseAway("gone")

    monkeypatch.setattr(ledger, "submit", away)
    for _ in range(2):
        with pytest.raises(DatabaseAway):
            committer.submit(request())


def test_a_close_commits_what_was_accepted_and_refuses_the_rest(
    database: Database, bell: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    committer = Committer(database, bell)
    first, futures = in_threads(*[lambda: committer.submit(request())] * 20)
    wait_until(lambda: gate.batches)
    wait_until(lambda: len(committer._queue) == 20 - gate.batches[0])
    closing, closed = in_threads(committer.close)
    wait_until(lambda: committer._closed)
    with pytest.raises(Busy, match="stopping"):
        committer.submit(request())
    gate.open.set()
    assert len([future.result(20) for future in futures]) == 20
    closed[0].result(20)
    first.shutdown()
    closing.shutdown()
    committer.close()
    assert ledger.levels(database).by_status == {"pending": 20}


def test_a_close_before_the_first_request_is_fine(database: Database, bell: Rings) -> None:
    committer = Committer(database, bell)
    committer.close()
    committer.close()


def test_a_large_batch_waits_for_its_own_commit(
    committer: Committer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first, _ = in_threads(lambda: committer.submit(request()))
    wait_until(lambda: gate.batches)
    orders: list[NewOrder] = [factories.new_order() for _ in range(6_000)]
    others, futures = in_threads(
        lambda: committer.submit(Request(orders[:3_000])),
        lambda: committer.submit(Request(orders[3_000:])),
        *[lambda: committer.submit(Request([factories.new_order() for _ in range(5_000)]))] * 2,
    )
    wait_until(lambda: len(committer._queue) == 4)
    gate.open.set()
    results: list[Accepted] = [future.result(60) for future in futures]
    first.shutdown()
    others.shutdown()
    assert results[0].ids == [order.id for order in orders[:3_000]]
    assert len(gate.batches) >= 3
    assert ledger.levels(database).by_status == {"pending": 16_001}


def test_many_threads_with_keys_and_without(committer: Committer, database: Database) -> None:
    def work(number: int) -> list[str]:
        key = f"k{number % 10}" if number % 2 else None
        return [committer.submit(request(key)).ids[0] for _ in range(5)]

    with ThreadPoolExecutor(16) as pool:
        ids = [order_id for found in pool.map(work, range(60)) for order_id in found]
    assert len(ids) == 300
    assert len(set(ids)) == 150 + 5
    assert ledger.levels(database).by_status == {"pending": 155}

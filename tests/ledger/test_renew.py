"""The heartbeat: what it writes, and what it answers about leases that are no longer held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest

import ledger
from database import Database, Sql, Transaction
from ledger import Beat, Claimed, LostLease, ManagerCard, Proof
from models import CANCELLED, COMPLETED, NOTHING, PENDING, WIP
from tests.factories import MANAGER, claim, ending, make_stale, new_order
from tests.ledger import evidence

CARD = ManagerCard(MANAGER, "host", 1, "0.1", "database", 4, None, 5_000, 30_000)
AGE_MANAGERS = Sql("UPDATE manager SET last_beat = last_beat - 60000")
SAID = Sql("SELECT proof, epoch, server FROM manager")
CANCEL_BY_HAND = "UPDATE job_order SET status = 'cancelled', completed_on = 1 WHERE id = %s"
POSTGRES_ONLY = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

T = TypeVar("T")


@contextmanager
def operator(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """Somebody at a prompt, with a transaction open until they come back from lunch."""
    with psycopg.connect(database.url) as link:
        try:
            yield link
        finally:
            link.rollback()


def meanwhile(work: Callable[[], T], back: Callable[[], None]) -> T:
    """What the work answers before the operator comes back; it must not wait for that."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(work)
        try:
            return answer.result(20)
        finally:
            back()


@pytest.fixture
def orders(database: Database) -> list[Claimed]:
    """Five orders that one manager holds, silent for an hour."""
    ledger.register(database, CARD)
    database.write(lambda transaction: transaction.run(AGE_MANAGERS))
    ledger.submit(database, [ledger.Request([new_order() for _ in range(5)])])
    claimed = claim(database, free=5)
    for order in claimed:
        make_stale(database, order.id)
    return claimed


def test_a_beat_is_a_sign_of_life_for_the_manager_and_what_it_holds(
    database: Database, orders: list[Claimed]
) -> None:
    first, *others = orders
    before = {order.id: ledger.find(database, order.id) for order in orders}
    assert ledger.renew(database, MANAGER, [Beat(o.id, o.lease) for o in others]) == []
    for order in others:
        after = ledger.find(database, order.id)
        assert after.last_updated > before[order.id].last_updated + 3_500_000
        assert after == before[order.id]._replace(last_updated=after.last_updated)
    assert ledger.find(database, first.id) == before[first.id], "it was not in the beat"
    (manager,) = ledger.managers(database)
    assert manager.silent_ms < 10_000


def test_a_beat_of_an_idle_manager_tells_its_state(database: Database) -> None:
    ledger.register(database, CARD)
    database.write(lambda transaction: transaction.run(AGE_MANAGERS))
    assert ledger.renew(database, MANAGER, [], "draining") == []
    (manager,) = ledger.managers(database)
    assert manager.state == "draining"
    assert manager.silent_ms < 10_000
    assert ledger.renew(database, MANAGER, []) == []
    assert ledger.managers(database)[0].state == "running"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_locked_table_of_orders_makes_no_manager_silent(
    database: Database, orders: list[Claimed]
) -> None:
    """Nor is anything of it taken when the lock is gone: a healthy order would count a crash."""
    locked, go_on = threading.Event(), threading.Event()

    def maintain(transaction: Transaction) -> None:
        transaction.run(Sql("LOCK TABLE job_order IN ACCESS EXCLUSIVE MODE"))
        locked.set()
        assert go_on.wait(60)

    maintenance = threading.Thread(target=database.write, args=(maintain,))
    maintenance.start()
    try:
        assert locked.wait(20)
        beats = [Beat(order.id, order.lease) for order in orders]
        assert ledger.renew(database, MANAGER, beats) == []
        assert ledger.managers(database)[0].silent_ms < 10_000
    finally:
        go_on.set()
        maintenance.join()
    assert ledger.rescue(database, 60_000, "another") == []


def test_the_answer_tells_which_leases_are_lost_and_to_what(
    database: Database, orders: list[Claimed]
) -> None:
    held, cancelled, gone, retaken, done = orders
    ledger.cancel(database, cancelled.id)
    ledger.cancel(database, gone.id)
    ledger.delete(database, gone.id)
    ledger.finish(database, MANAGER, [ending(done)])
    ledger.cancel(database, retaken.id)
    ledger.retry(database, retaken.id)
    assert [(o.id, o.lease) for o in claim(database, "another")] == [(retaken.id, 2)]
    beats = [Beat(order.id, order.lease, "late") for order in orders]
    rows = evidence.orders(database)
    lost = ledger.renew(database, MANAGER, beats)
    assert set(lost) == {
        LostLease(cancelled.id, 1, CANCELLED),
        LostLease(gone.id, 1, NOTHING),
        LostLease(retaken.id, 1, WIP),
        LostLease(done.id, 1, COMPLETED),
    }
    changed = [row for row in evidence.orders(database) if row not in rows]
    assert len(changed) == 1, f"only {held.id} is still held"


def test_a_rescued_order_is_lost(database: Database, orders: list[Claimed]) -> None:
    assert len(ledger.rescue(database, 1000)) == 5
    beats = [Beat(order.id, order.lease, "late", 5, "{}") for order in orders]
    rows = evidence.orders(database)
    lost = ledger.renew(database, MANAGER, beats)
    assert sorted(lost) == [LostLease(order.id, 1, PENDING) for order in orders]
    assert evidence.orders(database) == rows


def test_the_start_is_written_once_and_the_rest_is_kept(
    database: Database, orders: list[Claimed]
) -> None:
    order = orders[0]

    def beat(*told: object) -> ledger.OrderRow:
        assert ledger.renew(database, MANAGER, [Beat(order.id, order.lease, *told)]) == []  # type: ignore[arg-type]
        return ledger.find(database, order.id)

    assert beat().started_on is None, "it still waits for a worker"
    started = beat("w1", 1000)
    assert (started.worker, started.progress) == ("w1", None)
    assert started.started_on == started.last_updated - 1000
    moved = beat("w1", 5000, '{"percent":10}')
    assert (moved.started_on, moved.progress) == (started.started_on, '{"percent":10}')
    silent = beat()
    assert (silent.worker, silent.started_on, silent.progress) == (
        "w1",
        started.started_on,
        '{"percent":10}',
    )
    assert beat("w1", 9000, '{"percent":20}').progress == '{"percent":20}', "the latest wins"


def test_a_lost_lease_beside_the_new_one_is_told(database: Database, orders: list[Claimed]) -> None:
    order = orders[0]
    ledger.cancel(database, order.id)
    ledger.retry(database, order.id)
    (again,) = claim(database)
    lost = ledger.renew(database, MANAGER, [Beat(order.id, 1), Beat(order.id, again.lease)])
    assert lost == [LostLease(order.id, 1, WIP)]


def test_a_beat_neither_moves_nor_counts_anything(
    database: Database, orders: list[Claimed]
) -> None:
    before = evidence.tallies(database), evidence.events(database)
    ledger.renew(database, MANAGER, [Beat(order.id, order.lease) for order in orders])
    ledger.renew(database, MANAGER, [Beat(order.id, order.lease + 1) for order in orders])
    assert (evidence.tallies(database), evidence.events(database)) == before


def test_one_that_renews_beside_the_heartbeat_leaves_the_proof_alone(database: Database) -> None:
    ledger.register(database, CARD)
    newer = Proof("lock", 2, "this run")
    ledger.renew(database, MANAGER, [], proof=newer)
    ledger.renew(database, MANAGER, [])
    assert database.read(SAID) == [newer]
    ledger.renew(database, MANAGER, [], proof=newer._replace(kind="none"))
    assert database.read(SAID) == [("none", 2, "this run")]


@POSTGRES_ONLY
def test_a_row_that_somebody_holds_costs_the_others_nothing(
    database: Database, orders: list[Claimed]
) -> None:
    locked, *others = orders
    with operator(database) as link:
        link.execute("SELECT id FROM job_order WHERE id = %s FOR UPDATE", (locked.id,))
        beats = [Beat(order.id, order.lease, "w1") for order in orders]
        assert meanwhile(lambda: ledger.renew(database, MANAGER, beats), link.rollback) == [], (
            "it is not lost"
        )
    rows = {order.id: ledger.find(database, order.id) for order in orders}
    assert all(rows[order.id].worker == "w1" for order in others)
    assert rows[locked.id].worker is None
    assert ledger.renew(database, MANAGER, beats) == []
    assert ledger.find(database, locked.id).worker == "w1"


@POSTGRES_ONLY
def test_what_a_lock_hides_the_next_beat_tells(database: Database, orders: list[Claimed]) -> None:
    cancelled = orders[0]
    beats = [Beat(order.id, order.lease) for order in orders]
    with operator(database) as link:
        link.execute(CANCEL_BY_HAND, (cancelled.id,))
        assert meanwhile(lambda: ledger.renew(database, MANAGER, beats), link.commit) == []
    assert ledger.renew(database, MANAGER, beats) == [LostLease(cancelled.id, 1, CANCELLED)]


@POSTGRES_ONLY
def test_a_held_row_of_the_manager_does_not_cost_it_its_leases(
    database: Database, orders: list[Claimed]
) -> None:
    with operator(database) as link:
        link.execute("SELECT id FROM manager FOR UPDATE")
        beats = [Beat(order.id, order.lease, "w1") for order in orders]
        assert meanwhile(lambda: ledger.renew(database, MANAGER, beats), link.rollback) == []
    assert all(ledger.find(database, order.id).worker == "w1" for order in orders)
    assert ledger.rescue(database, 60_000) == []


@POSTGRES_ONLY
def test_renewal_locks_by_id(database: Database, orders: list[Claimed]) -> None:
    """Two that renew the same orders, told in any order, never wait for each other in a ring."""
    beats = [Beat(order.id, order.lease) for order in orders]

    def renew(given: list[Beat]) -> list[list[LostLease]]:
        return [ledger.renew(database, MANAGER, given) for _ in range(50)]

    answers = evidence.at_once([lambda: renew(beats), lambda: renew(beats[::-1])])
    assert [lost for answer in answers for lost in answer if lost] == []

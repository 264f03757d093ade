"""The heartbeat: what it writes, and what it answers about leases that are no longer held."""

from __future__ import annotations

import pytest

import ledger
from database import Database, Sql
from ledger import Beat, Claimed, LostLease, ManagerCard
from models import CANCELLED, COMPLETED, NOTHING, PENDING, WIP
from tests.factories import MANAGER, claim, ending, make_stale, new_order
from tests.ledger import evidence

CARD = ManagerCard(MANAGER, "host", 1, "0.1", "database", 4, None, 5_000, 30_000)
AGE_MANAGERS = Sql("UPDATE manager SET last_beat = last_beat - 60000")


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

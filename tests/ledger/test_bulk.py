"""Actions on all orders that match: what is moved, how often, and by whom after a death."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

import pytest

import ledger
from database import Database, RowsLocked, Sql
from ledger import bulk
from ledger.matching import Filter
from manager.bulk import BulkActions
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, STATUSES, WIP
from tests.factories import MANAGER, claim, ending, new_order, order_in, submit
from tests.ledger import evidence

EXPIRE = Sql("UPDATE bulk_action SET held_until = 0")


def started(
    database: Database, kind: str, *, dry_run: bool = False, **wanted: Any
) -> bulk.ActionRow:
    return bulk.create(database, ledger.new_id(), kind, Filter(**wanted), dry_run=dry_run, owner="")


def worked_off(database: Database, manager: str = MANAGER) -> None:
    while (action := bulk.take(database, manager)) is not None:
        while action is not None and action.state != bulk.DONE:
            action = bulk.step(database, action)


def status_of(database: Database, order_id: str) -> str:
    return ledger.find(database, order_id).status


def one_in_each_state(database: Database) -> dict[str, str]:
    found = {s: order_in(database, s, queue=f"queue-{s}").id for s in STATUSES if s != PENDING}
    return found | {PENDING: order_in(database, PENDING).id}


@pytest.mark.parametrize(
    ("kind", "movable", "to"),
    [
        (bulk.CANCEL, {PENDING, WIP}, CANCELLED),
        (bulk.RETRY, {FAILED, CANCELLED}, PENDING),
        (bulk.DELETE, {COMPLETED, RETRIEVED, FAILED, CANCELLED}, None),
    ],
)
def test_what_can_be_moved_is_moved(
    database: Database, kind: str, movable: set[str], to: str | None
) -> None:
    ids = one_in_each_state(database)
    action = started(database, kind)
    assert (action.state, action.total, action.done) == (bulk.COUNTING, 0, 0)
    worked_off(database)
    after = bulk.find(database, action.id)
    assert (after.state, after.total, after.done) == (bulk.DONE, len(movable), len(movable))
    assert after.ended_on is not None
    for before, order_id in ids.items():
        if before not in movable:
            assert status_of(database, order_id) == before
        elif to is not None:
            assert status_of(database, order_id) == to
        else:
            with pytest.raises(ledger.UnknownOrder):
                ledger.find(database, order_id)
    assert evidence.levels(database) == evidence.counted(database)


def test_a_retry_keeps_the_history(database: Database) -> None:
    failed = order_in(database, FAILED)
    started(database, bulk.RETRY)
    worked_off(database)
    assert [past.lease for past in ledger.history(database, failed.id)] == [failed.lease]


def test_only_what_matches_is_moved(database: Database) -> None:
    here = [submit(database, queue="a", tags='["red"]') for _ in range(3)]
    there = [submit(database, queue="b"), submit(database, queue="a", tags='["blue"]')]
    action = started(database, bulk.CANCEL, queue="a", tag="red")
    worked_off(database)
    assert bulk.find(database, action.id).done == 3
    assert {status_of(database, one) for one in here} == {CANCELLED}
    assert {status_of(database, one) for one in there} == {PENDING}


def test_text_is_looked_for_in_what_is_shown(database: Database) -> None:
    found = submit(database, payload='{"city":"Sevilla"}')
    hidden = submit(database, payload='{"password":"sevilla"}')
    named = submit(database, payload='{"sevilla":1}')
    started(database, bulk.CANCEL, q="SEVILLA")
    worked_off(database)
    statuses = [status_of(database, one) for one in (found, hidden, named)]
    assert statuses == [CANCELLED, PENDING, PENDING]


def test_a_dry_run_only_counts(database: Database) -> None:
    ids = [submit(database) for _ in range(3)]
    action = started(database, bulk.CANCEL, dry_run=True)
    worked_off(database)
    after = bulk.find(database, action.id)
    assert (after.state, after.total, after.done) == (bulk.DONE, 3, 0)
    assert {status_of(database, one) for one in ids} == {PENDING}


def test_what_comes_later_is_left_alone(database: Database) -> None:
    before = submit(database)
    action = started(database, bulk.CANCEL)
    made = action.created_on
    late = submit(database)
    database.write(
        lambda tx: tx.run(
            Sql("UPDATE job_order SET created_on = :at WHERE id = :id"),
            {"at": made + 1, "id": tx.key(late)},
        )
    )
    worked_off(database)
    assert (status_of(database, before), status_of(database, late)) == (CANCELLED, PENDING)


def test_batches_count_each_order_once_whoever_dies_or_comes_late(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 3)
    monkeypatch.setattr(bulk, "WINDOW", 7)
    ids = [submit(database) for _ in range(20)]
    action = started(database, bulk.CANCEL)
    late: bulk.ActionRow | None = None
    for turn in itertools.count():
        manager = f"manager-{turn}"  # the one before died
        assert bulk.take(database, manager) is None or turn == 0
        database.write(lambda tx: tx.run(EXPIRE))
        taken = bulk.take(database, manager)
        if taken is None:
            break
        bulk.step(database, taken)
        if late is not None:  # a manager that was away for long does its step again
            assert bulk.step(database, late) is None
        late = taken
    after = bulk.find(database, action.id)
    assert (after.state, after.total, after.done) == (bulk.DONE, 20, 20)
    assert {status_of(database, one) for one in ids} == {CANCELLED}
    assert evidence.levels(database) == evidence.counted(database)


def test_an_order_that_somebody_else_moved_is_passed_over(database: Database) -> None:
    ids = [submit(database) for _ in range(3)]
    action = started(database, bulk.CANCEL)
    counted = bulk.take(database, MANAGER)
    assert counted is not None
    working = bulk.step(database, counted)
    assert working is not None
    assert (working.state, working.total) == (bulk.WORKING, 3)
    ledger.cancel(database, ids[1])
    worked_off(database)
    after = bulk.find(database, action.id)
    assert (after.total, after.done) == (3, 2)
    assert evidence.levels(database) == evidence.counted(database)


def test_one_manager_at_a_time(database: Database) -> None:
    started(database, bulk.CANCEL)
    assert bulk.take(database, "one") is not None
    assert bulk.take(database, "two") is None
    assert bulk.take(database, "one") is not None


def test_an_unknown_action(database: Database) -> None:
    with pytest.raises(bulk.UnknownAction):
        bulk.find(database, ledger.new_id())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_order_that_somebody_keeps_locked_holds_up_only_itself(database: Database) -> None:
    """Whoever would wait for it with others in hand would keep all of those from ending."""
    ledger.submit(database, [ledger.Request([new_order() for _ in range(20)])])
    orders = sorted(claim(database, MANAGER, 20))
    action = started(database, bulk.CANCEL)
    duty = BulkActions(database, MANAGER, lambda: None, lambda: None)
    with evidence.locked(database, orders[9].id):
        with pytest.raises(RowsLocked):
            duty.tick()
        assert ledger.finish(database, MANAGER, [ending(orders[0])]) == [], "nobody has it"
        for _ in range(8):
            with suppress(RowsLocked):
                duty.tick()
        assert bulk.find(database, action.id).done == 8, "the others that come before it"
        assert ledger.finish(database, MANAGER, [ending(orders[10])]) == []
    while bulk.find(database, action.id).state != bulk.DONE:
        duty.tick()
    assert bulk.find(database, action.id).done == 18

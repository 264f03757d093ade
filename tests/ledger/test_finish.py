"""Letting go: mixed end states in one batch, lost leases, history, back-off and hand-backs."""

from __future__ import annotations

import time

import pytest

import ledger
from database import Database, RowsLocked
from ledger import Finished
from models import CANCELLED, COMPLETED, FAILED, NOTHING, PENDING, WIP
from tests.factories import MANAGER, claim, ending
from tests.ledger import evidence, reports
from tests.ledger.reports import LATE, WORKER, WRONG, finish, hand_back, held, statuses, trace


def test_one_batch_may_end_orders_in_every_way(database: Database) -> None:
    orders = done, broken, again, back, lost = held(database, 5)
    ledger.cancel(database, lost.id)
    endings = [
        ending(done),
        ending(broken, FAILED),
        ending(again, PENDING, kind="retrying", delay_ms=0),
        hand_back(back),
        ending(lost),
    ]
    assert finish(database, *endings) == [endings[-1]]
    assert statuses(database, orders) == [COMPLETED, FAILED, PENDING, PENDING, CANCELLED]
    assert evidence.levels(database) == evidence.counted(database)
    kinds = {event.kind: event.ids for event in evidence.events(database)[3:]}
    assert kinds == {
        LATE: [lost.id],
        COMPLETED: [done.id],
        FAILED: [broken.id],
        "retrying": [again.id],
        "handed_back": [back.id],
    }


def test_a_result_is_recorded_with_its_times(database: Database) -> None:
    (order,) = held(database)
    assert finish(database, ending(order, result='{"sum": 1.10}', run_ms=40, age_ms=45)) == []
    row = ledger.find(database, order.id)
    assert (row.status, row.result, row.error) == (COMPLETED, '{"sum": 1.10}', None)
    assert (row.manager, row.worker, row.run_ms) == (MANAGER, WORKER, 40)
    assert row.completed_on is not None
    assert row.completed_on == row.last_updated
    assert row.started_on == row.completed_on - 45
    assert ledger.history(database, order.id) == [], "the row is its own latest attempt"
    assert evidence.tallies(database)[-1] == (
        *("default", "add", WIP, COMPLETED),
        *(1, 1, 40, '{"6": 1}'),
    )


def test_it_ended_when_it_did_however_late_that_is_written(database: Database) -> None:
    done, again = held(database, 2)
    ended = time.monotonic() - 60
    results = [ending(done, age_ms=45, ended=ended), ending(again, PENDING, age_ms=45, ended=ended)]
    assert finish(database, *results) == []
    row = ledger.find(database, done.id)
    assert row.completed_on is not None
    assert 60_000 <= row.last_updated - row.completed_on < 90_000
    assert row.started_on == row.completed_on - 45
    (past,) = ledger.history(database, again.id)
    # The history is written by a statement of its own, some ms later.
    assert 59_000 <= ledger.find(database, again.id).last_updated - past.ended_on < 90_000
    assert past.started_on == past.ended_on - 45


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_order_that_somebody_has_locked_is_told_from_one_that_is_lost(
    database: Database,
) -> None:
    free, locked, lost = held(database, 3)
    ledger.cancel(database, lost.id)
    results = [ending(one) for one in (free, locked, lost)]
    with evidence.locked(database, locked.id):
        with pytest.raises(RowsLocked):
            finish(database, *results)
        assert ledger.find(database, free.id).status == WIP
        done = ledger.finish_free(database, MANAGER, results)
        assert done == Finished(late=[results[2]], locked=[results[1]])
        assert ledger.find(database, free.id).status == COMPLETED
    assert ledger.finish_free(database, MANAGER, done.locked) == Finished([], [])
    assert evidence.counted(database) == evidence.levels(database)


def test_a_failure_is_recorded_with_its_error(database: Database) -> None:
    (order,) = held(database)
    assert finish(database, ending(order, FAILED, outcome="timed_out")) == []
    row = ledger.find(database, order.id)
    assert (row.status, row.result, row.error, row.run_ms) == (FAILED, None, WRONG, 5)
    assert ledger.history(database, order.id) == []
    (event,) = evidence.events(database, FAILED)
    assert event.data == {"workers": [WORKER], "attempts": [1], "outcomes": ["timed_out"]}


def test_a_retry_keeps_the_attempt_and_waits_its_back_off(database: Database) -> None:
    (order,) = held(database)
    assert finish(database, ending(order, PENDING, run_ms=40, age_ms=45, delay_ms=1500)) == []
    row = ledger.find(database, order.id)
    assert (row.status, row.attempts, row.lease, row.crashes) == (PENDING, 1, 1, 0)
    assert row.run_at == row.last_updated + 1500
    for name in ("manager", "worker", "started_on", "run_ms", "error", "completed_on"):
        assert getattr(row, name) is None, name
    (past,) = ledger.history(database, order.id)
    now = past.ended_on
    assert past == (1, 1, "error", MANAGER, WORKER, now - 45, now, 40, WRONG)
    assert 0 <= now - row.last_updated < 1000
    assert claim(database) == [], "not due yet"


def test_every_attempt_stays_in_the_history(database: Database) -> None:
    (order,) = held(database)
    for nth in (1, 2):
        finish(database, ending(order, PENDING, error=f'"{nth}"', delay_ms=0))
        (order,) = claim(database)
    finish(database, ending(order))
    past = ledger.history(database, order.id)
    assert [(p.lease, p.number, p.error) for p in past] == [(1, 1, '"1"'), (2, 2, '"2"')]
    assert ledger.find(database, order.id).attempts == 3


def test_handing_back_gives_the_attempt_back_and_keeps_the_place(database: Database) -> None:
    (order,) = held(database)
    assert finish(database, hand_back(order)) == []
    row = ledger.find(database, order.id)
    assert (row.status, row.attempts, row.lease, row.run_at) == (PENDING, 0, 1, order.run_at)
    assert ledger.history(database, order.id) == [], "it never began"
    (again,) = claim(database)
    assert (again.attempts, again.lease) == (1, 2)


def test_handing_back_what_had_begun_leaves_a_trace(database: Database) -> None:
    (order,) = held(database)
    finish(database, hand_back(order, age_ms=30))
    (past,) = ledger.history(database, order.id)
    assert (past.outcome, past.number, past.error) == ("handed_back", 1, None)
    assert ledger.find(database, order.id).attempts == 0


def test_handing_back_may_ask_for_a_delay(database: Database) -> None:
    (order,) = held(database)
    finish(database, hand_back(order, delay_ms=30_000, outcome="unknown_type"))
    row = ledger.find(database, order.id)
    assert row.run_at == row.last_updated + 30_000


@pytest.mark.parametrize("to", [PENDING, FAILED])
def test_a_crash_of_a_child_is_counted(database: Database, to: str) -> None:
    (order,) = held(database)
    finish(database, ending(order, to, crashed=True))
    row = ledger.find(database, order.id)
    assert (row.status, row.attempts, row.crashes) == (to, 1, 1)


LOSSES = {
    CANCELLED: reports.cancelled,
    NOTHING: reports.deleted,
    PENDING: reports.rescued,
    WIP: reports.taken_over,
    COMPLETED: reports.ended,
}


@pytest.mark.parametrize("to", [COMPLETED, FAILED, PENDING])
@pytest.mark.parametrize("status", LOSSES)
def test_a_report_with_a_lost_lease_is_discarded_with_an_event(
    database: Database, status: str, to: str
) -> None:
    (order,) = held(database)
    LOSSES[status](database, order)
    before = trace(database)
    late = ending(order, to)
    assert finish(database, late) == [late]
    assert trace(database) == before
    (event,) = evidence.events(database, LATE)
    assert (event.ids, event.manager) == ([order.id], MANAGER)
    assert event.data == {"leases": [1], "outcomes": [late.outcome], "now": [status]}
    assert evidence.events(database)[-1] == event


def test_a_late_report_does_not_harm_the_others_in_its_batch(database: Database) -> None:
    orders = held(database, 9)
    for order in orders[::2]:
        ledger.cancel(database, order.id)
    late = finish(database, *map(ending, orders))
    assert [found.id for found in late] == [order.id for order in orders[::2]]
    assert statuses(database, orders) == [CANCELLED, COMPLETED] * 4 + [CANCELLED]
    (event,) = evidence.events(database, COMPLETED)
    assert event.ids == [order.id for order in orders[1::2]]
    assert evidence.levels(database) == evidence.counted(database)


def test_an_old_lease_beside_the_new_one_is_discarded(database: Database) -> None:
    (old,) = held(database)
    reports.rescued(database, old)
    evidence.waited(database, old.id, 60_000)
    (new,) = claim(database)
    late = ending(old, result='"old"')
    assert finish(database, late, ending(new, result='"new"')) == [late]
    assert ledger.find(database, old.id).result == '"new"'
    assert [event.data["leases"] for event in evidence.events(database, LATE)] == [[old.lease]]
    assert [event.ids for event in evidence.events(database, COMPLETED)] == [[old.id]]
    assert evidence.moves(database)[WIP, COMPLETED] == 1
    assert evidence.levels(database) == evidence.counted(database)


def test_the_same_report_twice_in_a_batch_counts_once(database: Database) -> None:
    (order,) = held(database)
    finish(database, ending(order), ending(order))
    assert evidence.moves(database)[WIP, COMPLETED] == 1
    assert evidence.levels(database) == evidence.counted(database) == {COMPLETED: 1}


def test_nothing_to_report_writes_nothing(database: Database) -> None:
    assert finish(database) == []
    assert evidence.events(database) == []

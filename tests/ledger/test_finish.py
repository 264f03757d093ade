"""Letting go: mixed end states in one batch, lost leases, history, back-off and hand-backs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ledger
from database import Database
from ledger import Beat, Claimed, Ending
from models import CANCELLED, COMPLETED, FAILED, NOTHING, PENDING, RETRIEVED, WIP
from tests.factories import MANAGER, claim, ending, make_stale, new_order
from tests.ledger import evidence

LATE = "late_result_discarded"
WORKER = f"{MANAGER}/1"
WRONG = '{"type":"ValueError","message":"wrong"}'


def held(database: Database, count: int = 1, **columns: Any) -> list[Claimed]:
    """That many orders, claimed."""
    orders = [new_order(**columns) for _ in range(count)]
    ledger.submit(database, [ledger.Request(orders)])
    return claim(database, free=count)


def hand_back(order: Claimed, **fields: Any) -> Ending:
    plain = {"outcome": "handed_back", "error": None, "run_ms": None, "age_ms": None}
    return ending(order, PENDING, uncounted=True, kind="handed_back", **(plain | fields))


def finish(database: Database, *endings: Ending, repeated: bool = False) -> list[Ending]:
    return ledger.finish(database, MANAGER, endings, repeated=repeated)


def statuses(database: Database, orders: list[Claimed]) -> list[str]:
    return [ledger.find(database, order.id).status for order in orders]


def trace(database: Database) -> tuple[object, ...]:
    """All that a report may change, but for events."""
    return evidence.orders(database), evidence.attempts(database), evidence.tallies(database)


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
    (order,) = held(database, run_at=1234)
    assert finish(database, hand_back(order)) == []
    row = ledger.find(database, order.id)
    assert (row.status, row.attempts, row.lease, row.run_at) == (PENDING, 0, 1, 1234)
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


def _cancelled(database: Database, order: Claimed) -> None:
    ledger.cancel(database, order.id)


def _deleted(database: Database, order: Claimed) -> None:
    ledger.cancel(database, order.id)
    ledger.delete(database, order.id)


def _rescued(database: Database, order: Claimed) -> None:
    make_stale(database, order.id)
    assert [found.id for found in ledger.rescue(database, 1000)] == [order.id]


def _taken_over(database: Database, order: Claimed) -> None:
    _rescued(database, order)
    evidence.waited(database, order.id, 60_000)
    assert claim(database, "another")[0].lease == order.lease + 1


def _ended(database: Database, order: Claimed) -> None:
    assert finish(database, ending(order)) == []


LOSSES = {
    CANCELLED: _cancelled,
    NOTHING: _deleted,
    PENDING: _rescued,
    WIP: _taken_over,
    COMPLETED: _ended,
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
    _rescued(database, old)
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


ENDINGS: dict[str, Callable[[Claimed], Ending]] = {
    "completed": ending,
    "failed": lambda order: ending(order, FAILED),
    "retried": lambda order: ending(order, PENDING, delay_ms=0),
    "handed back": hand_back,
}


@pytest.mark.parametrize("how", ENDINGS)
def test_a_repeat_of_what_committed_unseen_is_no_late_result(database: Database, how: str) -> None:
    (order,) = held(database)
    report = ENDINGS[how](order)
    assert finish(database, report) == []
    before = trace(database), evidence.events(database)
    assert finish(database, report, repeated=True) == []
    assert (trace(database), evidence.events(database)) == before


@pytest.mark.parametrize("how", ENDINGS)
def test_a_repeat_of_what_did_not_commit_is_the_first_report(database: Database, how: str) -> None:
    (order,) = held(database)
    report = ENDINGS[how](order)
    assert finish(database, report, repeated=True) == []
    assert ledger.find(database, order.id).status == report.to
    assert evidence.events(database, LATE) == []
    assert evidence.levels(database) == evidence.counted(database)


def test_a_repeat_of_one_batch_may_find_a_part_of_it_done(database: Database) -> None:
    first, second, lost = held(database, 3)
    ledger.cancel(database, lost.id)
    finish(database, ending(first))
    report = [ending(first), ending(second), ending(lost)]
    assert finish(database, *report, repeated=True) == [report[-1]]
    assert evidence.counted(database) == evidence.levels(database) == {COMPLETED: 2, CANCELLED: 1}
    assert [event.ids for event in evidence.events(database, LATE)] == [[lost.id]]


def test_a_repeat_that_somebody_overtook_is_late(database: Database) -> None:
    (order,) = held(database)
    _taken_over(database, order)
    report = ending(order)
    assert finish(database, report, repeated=True) == [report]
    assert len(evidence.events(database, LATE)) == 1


def test_a_result_that_was_collected_before_the_repeat_is_not_late(database: Database) -> None:
    (order,) = held(database)
    finish(database, ending(order))
    assert ledger.retrieve(database, order.id)
    assert finish(database, ending(order), repeated=True) == []
    assert evidence.events(database, LATE) == []
    assert ledger.find(database, order.id).status == RETRIEVED


def test_a_retry_that_was_claimed_before_the_repeat_is_not_late(database: Database) -> None:
    (order,) = held(database)
    report = ending(order, PENDING, delay_ms=0)
    finish(database, report)
    assert claim(database, "another")[0].lease == 2
    assert finish(database, report, repeated=True) == []
    assert evidence.events(database, LATE) == []


def test_a_repeated_retry_that_a_rescue_overtook_is_late(database: Database) -> None:
    (order,) = held(database)
    _rescued(database, order)
    report = ending(order, PENDING, delay_ms=0)
    assert finish(database, report, repeated=True) == [report]
    assert len(evidence.events(database, LATE)) == 1


def test_a_report_after_a_retry_by_hand_is_late(database: Database) -> None:
    """Neither the status nor the number of the attempt tells it apart: only the lease does."""
    (order,) = held(database)
    ledger.renew(database, MANAGER, [Beat(order.id, 1, WORKER, 5)])
    ledger.cancel(database, order.id)
    ledger.retry(database, order.id)
    (again,) = claim(database, "another")
    assert (again.attempts, again.lease) == (order.attempts, order.lease + 1)
    report = ending(order)
    assert finish(database, report) == [report]
    assert ledger.find(database, order.id).status == WIP

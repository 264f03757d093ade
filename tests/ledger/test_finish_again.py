"""A report made again, since it may have committed unseen: known again, or late, counted once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ledger
from database import Database
from ledger import Beat, Claimed, Ending
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP
from tests.factories import MANAGER, claim, ending
from tests.ledger import evidence
from tests.ledger.reports import (
    LATE,
    WORKER,
    finish,
    hand_back,
    held,
    rescued,
    taken_over,
    trace,
)

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
    taken_over(database, order)
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
    rescued(database, order)
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

"""Ageing: what counts as waiting past its bound, and what only says that it was due long ago."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

import ledger
from database import Database
from ledger import Claimed, Lane, Request
from manager.lanes import BOUNDS_MS, ROUND, Lanes
from models import FAILED, PENDING, PRIORITIES
from tests.factories import MANAGER, claim, ending, make_stale, new_order, submit
from tests.ledger import evidence

HIGH, NORMAL, LOW = PRIORITIES.values()
YEAR = 366 * 86_400_000
AGED = [NORMAL, LOW]


def past() -> int:
    """A moment a year ago, in ms since 1970."""
    return int(time.time() * 1000) - YEAR


def round_of_claims(database: Database) -> list[str]:
    """The orders that the ten claims of a round take, one each, in order."""
    lanes = Lanes()
    taken: list[Claimed] = []
    for _ in range(ROUND):
        walk = lanes.next(ledger.waiting_queues(database))
        taken += ledger.claim(database, MANAGER, walk, 1)
    return [order.id for order in taken]


def overtaking(database: Database, priority: int) -> list[Claimed]:
    """What a claim takes that first serves what of this class is past its bound."""
    lanes = [Lane("default", priority, BOUNDS_MS[priority])]
    return ledger.claim(database, MANAGER, lanes, 5)


@pytest.mark.parametrize("priority", AGED)
def test_a_due_time_long_past_overtakes_nobody(database: Database, priority: int) -> None:
    backdated = [new_order(priority=priority, run_at=past()) for _ in range(ROUND)]
    ledger.submit(database, [Request(backdated)])
    high = [submit(database, priority=HIGH) for _ in range(ROUND)]
    assert round_of_claims(database) == high


@pytest.mark.parametrize("priority", AGED)
def test_it_overtakes_when_it_has_waited_its_bound_since_it_could_run(
    database: Database, priority: int
) -> None:
    order = submit(database, priority=priority, run_at=past())
    bound = BOUNDS_MS[priority]
    evidence.waited(database, order, bound - 30_000)
    assert overtaking(database, priority) == []
    evidence.waited(database, order, 30_000)
    high = [submit(database, priority=HIGH) for _ in range(ROUND)]
    taken = round_of_claims(database)
    assert order in taken
    assert [one for one in taken if one != order] == high[: ROUND - 1]


def test_within_a_class_a_due_time_long_past_overtakes_nobody_either(database: Database) -> None:
    first = submit(database)
    evidence.waited(database, first, 1)
    backdated = submit(database, run_at=past())
    assert [order.id for order in claim(database, free=2)] == [first, backdated]


def by_an_error(database: Database, order: Claimed) -> None:
    ledger.finish(database, MANAGER, [ending(order, PENDING, delay_ms=0)])


def by_hand(database: Database, order: Claimed) -> None:
    ledger.finish(database, MANAGER, [ending(order, FAILED)])
    ledger.retry(database, order.id)


def by_rescue(database: Database, order: Claimed) -> None:
    make_stale(database, order.id)
    assert ledger.rescue(database, 1_000)


def by_hand_back(database: Database, order: Claimed) -> None:
    back = ending(order, PENDING, outcome="handed_back", error=None, uncounted=True, delay_ms=None)
    ledger.finish(database, MANAGER, [back])


Return = Callable[[Database, Claimed], None]


@pytest.mark.parametrize("comes_back", [by_an_error, by_hand, by_rescue])
def test_what_is_tried_again_waits_from_then_on(database: Database, comes_back: Return) -> None:
    order = submit(database, priority=LOW)
    evidence.waited(database, order, YEAR)
    (taken,) = overtaking(database, LOW)
    comes_back(database, taken)
    row = ledger.find(database, order)
    assert row.status == PENDING
    assert row.run_at >= row.last_updated
    assert overtaking(database, LOW) == []


def test_what_is_handed_back_has_its_place_and_its_age_again(database: Database) -> None:
    order, other = (submit(database, priority=LOW) for _ in range(2))
    for one in (order, other):
        evidence.waited(database, one, BOUNDS_MS[LOW])
    (taken,) = claim(database)
    assert taken.id == order
    by_hand_back(database, taken)
    assert ids(overtaking(database, LOW)) == [order, other]


def ids(claimed: Sequence[Claimed]) -> list[str]:
    return [order.id for order in claimed]

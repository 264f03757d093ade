"""Claiming by ids that a broker brought: no order that another claim would not take as well."""

from __future__ import annotations

from functools import partial

import pytest

import ledger
from database import Database
from ledger import Lane
from ledger.claim_named import claim_named, due
from models import COMPLETED, FAILED, PENDING, PRIORITIES, WIP
from tests.factories import MANAGER, claim, order_in, submit
from tests.ledger.evidence import at_once, events, moves


def test_takes_what_is_named_in_that_order(database: Database) -> None:
    ids = [submit(database) for _ in range(4)]
    named = [ids[2], ids[0], ids[3], ids[2]]
    taken = claim_named(database, MANAGER, named, 3)
    assert [order.id for order in taken.claimed] == [ids[2], ids[0], ids[3]]
    assert taken.left == []
    assert {order.lease for order in taken.claimed} == {1}
    assert ledger.find(database, ids[1]).status == PENDING
    assert [ledger.find(database, one).manager for one in named] == [MANAGER] * 4
    assert [event.kind for event in events(database)][-1] == "claimed"


def test_takes_no_more_than_there_is_room_for(database: Database) -> None:
    ids = [submit(database) for _ in range(5)]
    taken = claim_named(database, MANAGER, ids, 2)
    assert [order.id for order in taken.claimed] == ids[:2]
    assert taken.left == ids[2:]
    assert claim_named(database, MANAGER, ids, 0).left == ids[2:]


def test_goes_ahead_only_as_far_as_short_types_follow(database: Database) -> None:
    ids = [submit(database, type=kind) for kind in ("slow", "add", "add", "slow", "add")]
    taken = claim_named(database, MANAGER, ids, 1, ahead=10, short=["add"])
    assert [order.id for order in taken.claimed] == ids[:3]
    assert taken.left == ids[3:]


@pytest.mark.parametrize("status", [WIP, COMPLETED, FAILED])
def test_nothing_is_taken_twice(database: Database, status: str) -> None:
    order = order_in(database, status)
    assert claim_named(database, "another", [order.id], 1) == ([], [])
    assert ledger.find(database, order.id) == order


def test_an_id_that_nobody_knows_is_none(database: Database) -> None:
    assert claim_named(database, MANAGER, [ledger.new_id()], 1) == ([], [])


def test_what_is_not_due_is_left_alone(database: Database) -> None:
    later = submit(database, delay_ms=60_000)
    assert claim_named(database, MANAGER, [later], 1) == ([], [])


@pytest.mark.parametrize("paused", ["default", "*"])
def test_what_is_paused_is_left_alone(database: Database, paused: str) -> None:
    order = submit(database)
    ledger.pause(database, paused)
    assert claim_named(database, MANAGER, [order], 1) == ([], [])
    assert due(database, Lane("default", PRIORITIES["normal"]), 10) == []
    ledger.resume(database, paused)
    assert len(claim_named(database, MANAGER, [order], 1).claimed) == 1


def test_only_queues_that_are_served(database: Database) -> None:
    mine, other = submit(database, queue="mine"), submit(database, queue="other")
    taken = claim_named(database, MANAGER, [other, mine], 2, served=["mine"])
    assert [order.id for order in taken.claimed] == [mine]


def test_of_many_who_are_told_the_same_one_gets_each(database: Database) -> None:
    ids = [submit(database) for _ in range(60)]

    def take(manager: str) -> list[str]:
        mine: list[str] = []
        for start in range(0, 60, 5):
            taken = claim_named(database, manager, ids[start : start + 5], 5)
            mine += [order.id for order in taken.claimed]
        return mine

    got = at_once([partial(take, f"m{nth}") for nth in range(4)])
    claimed = [one for mine in got for one in mine]
    assert sorted(claimed) == sorted(ids)
    assert moves(database)[PENDING, WIP] == 60


def test_what_is_due_comes_as_a_claim_would_take_it(database: Database) -> None:
    ids = [submit(database) for _ in range(3)]
    submit(database, delay_ms=60_000)
    submit(database, priority=PRIORITIES["low"])
    lane = Lane("default", PRIORITIES["normal"])
    assert due(database, lane, 10) == ids
    assert due(database, lane, 2) == ids[:2]
    assert due(database, lane._replace(age_ms=60_000), 2) == []
    claim(database)
    assert due(database, lane, 10) == ids[1:]

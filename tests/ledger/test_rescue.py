"""Taking back what silent holders left: whose time decides, how often, and what it leaves."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import ledger
from database import Database, Sql
from ledger import Beat, Claimed, ManagerCard, Rescued
from models import FAILED, PENDING, WIP
from tests.factories import MANAGER, claim, ending, make_stale, new_order, submit
from tests.ledger import evidence

HOUR = 3_600_000
SILENT = Sql("UPDATE job_order SET last_updated = last_updated - 3600000 WHERE status = 'wip'")


class Longest(random.Random):
    """Chance that always takes the most it may."""

    def uniform(self, a: float, b: float) -> float:
        return b


def manager(database: Database, name: str, stale_ms: int) -> None:
    ledger.register(database, ManagerCard(name, "h", 1, "0", "database", 1, None, 1, stale_ms))


def held_by(database: Database, name: str, **columns: Any) -> Claimed:
    """An order that this manager claimed and an hour ago fell silent about."""
    submit(database, **columns)
    (order,) = claim(database, name)
    make_stale(database, order.id)
    return order


def again(database: Database, order: Claimed) -> Claimed:
    """The order claimed anew after a rescue, and again silent for an hour."""
    evidence.waited(database, order.id, HOUR)
    (claimed,) = claim(database)
    assert claimed.id == order.id
    make_stale(database, order.id)
    return claimed


def test_the_holders_own_stale_time_decides(database: Database) -> None:
    manager(database, "quick", 60_000)
    manager(database, "patient", 2 * HOUR)
    quick, patient = held_by(database, "quick"), held_by(database, "patient")
    assert ledger.rescue(database, 1) == [Rescued(quick.id, 1, "quick", PENDING)]
    assert ledger.find(database, patient.id).status == WIP
    assert ledger.rescue(database, 1) == []


def test_of_a_holder_that_beats_nothing_is_taken(database: Database) -> None:
    """Somebody may have the order locked, so that its beats leave it out."""
    manager(database, "healthy", 60_000)
    order = held_by(database, "healthy")
    ledger.renew(database, "healthy", [])
    assert ledger.rescue(database, 60_000) == []
    ledger.retire(database, "healthy", "asked to")
    assert ledger.rescue(database, 60_000) == [Rescued(order.id, 1, "healthy", PENDING)]


def test_a_manager_takes_back_of_its_own_what_it_holds_no_more(database: Database) -> None:
    kept, given_up, other = (held_by(database, name) for name in ("me", "me", "another"))
    submit(database)
    (fresh,) = claim(database, "me")
    in_hand = {(kept.id, kept.lease)}
    (taken,) = ledger.rescue_own(database, 60_000, "me", in_hand)
    assert taken == Rescued(given_up.id, 1, "me", PENDING)
    (past,) = ledger.history(database, given_up.id)
    assert "could not write down" in str(past.error)
    for order in (kept, fresh, other):
        assert ledger.find(database, order.id).status == WIP


def test_a_holder_without_a_row_is_judged_by_the_rescuers_time(database: Database) -> None:
    order = held_by(database, "gone")
    assert ledger.rescue(database, 2 * HOUR) == []
    assert ledger.rescue(database, HOUR // 2) == [Rescued(order.id, 1, "gone", PENDING)]


def test_who_rescues_leaves_its_own_orders_to_others(database: Database) -> None:
    """It beats, or it could not rescue: what it holds and did not renew yet is in its hands."""
    mine, other = held_by(database, MANAGER), held_by(database, "another")
    assert ledger.rescue(database, 1, MANAGER) == [Rescued(other.id, 1, "another", PENDING)]
    assert ledger.find(database, mine.id).status == WIP
    assert ledger.rescue(database, 1, "another") == [Rescued(mine.id, 1, MANAGER, PENDING)]


def test_what_gave_a_sign_of_life_is_left_alone(database: Database) -> None:
    order = held_by(database, MANAGER)
    ledger.renew(database, MANAGER, [Beat(order.id, order.lease)])
    rows = evidence.orders(database)
    assert ledger.rescue(database, 60_000) == []
    assert evidence.orders(database) == rows


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_beat_under_way_is_a_sign_of_life(database: Database) -> None:
    order = held_by(database, MANAGER)
    beat = Sql("UPDATE job_order SET last_updated = {now} WHERE id = :id RETURNING id")

    def beating(transaction: Any) -> None:
        assert transaction.rows(beat, {"id": order.id})
        assert evidence.at_once([lambda: ledger.rescue(database, 60_000)]) == [[]]

    database.write(beating)
    assert ledger.rescue(database, 60_000) == []
    assert ledger.find(database, order.id).status == WIP


def test_a_rescued_order_runs_again_after_a_back_off(database: Database) -> None:
    order = held_by(database, MANAGER)
    ledger.renew(database, MANAGER, [Beat(order.id, 1, "w1", 500, '{"percent":5}')])
    make_stale(database, order.id)
    silent = ledger.find(database, order.id)
    ledger.rescue(database, 60_000, rng=Longest())
    row = ledger.find(database, order.id)
    assert (row.status, row.attempts, row.crashes, row.lease) == (PENDING, 1, 1, 1)
    assert row.run_at == row.last_updated + 1000
    for name in ("manager", "worker", "started_on", "progress", "error", "completed_on"):
        assert getattr(row, name) is None, name
    (past,) = ledger.history(database, order.id)
    assert past[:6] == (1, 1, "worker_lost", MANAGER, "w1", silent.started_on)
    assert 0 <= past.ended_on - row.last_updated < 1000
    assert past.run_ms == silent.last_updated - (silent.started_on or 0)
    assert json.loads(past.error or "")["type"] == "WorkerLost"
    (event,) = evidence.events(database, "rescued")
    whose = {"managers": [MANAGER], "workers": ["w1"]}
    how = {"attempts": [1], "crashes": [1], "delays": [1000], "holder": "silent"}
    assert (event.ids, event.data) == ([order.id], whose | how)
    assert evidence.levels(database) == {PENDING: 1}


@pytest.mark.parametrize("seed", range(3))
def test_the_back_off_after_a_first_crash_is_a_second_at_most(
    database: Database, seed: int
) -> None:
    orders = [held_by(database, MANAGER) for _ in range(10)]
    ledger.rescue(database, 60_000, rng=random.Random(seed))
    rows = [ledger.find(database, order.id) for order in orders]
    delays = [row.run_at - row.last_updated for row in rows]
    assert all(0 <= delay <= 1000 for delay in delays)
    assert len(set(delays)) > 1, "they do not all come back at once"


def test_the_third_crash_is_the_end(database: Database) -> None:
    order = held_by(database, MANAGER)
    for crash in (1, 2):
        assert ledger.rescue(database, 60_000, rng=Longest())[0].status == PENDING
        row = ledger.find(database, order.id)
        assert row.run_at - row.last_updated == 1000 * 2 ** (crash - 1)
        order = again(database, order)
        assert (order.crashes, order.lease) == (crash, crash + 1)
    assert ledger.rescue(database, 60_000) == [Rescued(order.id, 3, MANAGER, FAILED)]
    row = ledger.find(database, order.id)
    assert (row.status, row.attempts, row.crashes) == (FAILED, 3, 3)
    assert json.loads(row.error or "")["type"] == "Crashed"
    assert row.completed_on == row.last_updated
    assert [past.lease for past in ledger.history(database, order.id)] == [1, 2]
    (event,) = evidence.events(database, "crashed")
    assert event.ids == [order.id]
    assert evidence.levels(database) == {FAILED: 1}


def test_a_poison_pill_may_be_tried_again_by_hand(database: Database) -> None:
    order = held_by(database, MANAGER)
    ledger.rescue(database, 60_000, max_crashes=1)
    ledger.retry(database, order.id)
    (claimed,) = claim(database)
    assert (claimed.attempts, claimed.crashes, claimed.lease) == (1, 0, 2)
    (past,) = ledger.history(database, order.id)
    assert (past.lease, past.outcome) == (1, FAILED)


def test_a_crash_uses_up_no_attempt(database: Database) -> None:
    order = held_by(database, MANAGER, max_attempts=1)
    ledger.rescue(database, 60_000)
    claimed = again(database, order)
    assert claimed.attempts - claimed.crashes == 1 == claimed.max_attempts


def test_a_rescue_and_a_report_meet_only_once(database: Database) -> None:
    order = held_by(database, MANAGER)
    assert ledger.finish(database, MANAGER, [ending(order)]) == []
    assert ledger.rescue(database, 60_000) == []


def test_five_hundred_at_a_time(database: Database) -> None:
    ledger.submit(database, [ledger.Request([new_order() for _ in range(501)])])
    claim(database, free=501)
    database.write(lambda transaction: transaction.run(SILENT))
    assert len(ledger.rescue(database, 60_000)) == 500
    assert evidence.levels(database) == evidence.counted(database) == {PENDING: 500, WIP: 1}
    assert len(ledger.rescue(database, 60_000)) == 1


def test_rescuers_at_once_take_each_order_back_once(database: Database) -> None:
    ledger.submit(database, [ledger.Request([new_order() for _ in range(200)])])
    claim(database, free=200)
    database.write(lambda transaction: transaction.run(SILENT))
    answers = evidence.at_once([lambda: ledger.rescue(database, 60_000)] * 4)
    taken = [order.id for answer in answers for order in answer]
    assert len(taken) == len(set(taken)) == 200
    assert len(evidence.attempts(database)) == 200
    assert evidence.levels(database) == evidence.counted(database) == {PENDING: 200}


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, 1), (2, 2), (3, 4), (12, 2048), (13, 3600), (1000, 3600)]
)
def test_the_back_off_doubles_up_to_an_hour(attempt: int, most: int) -> None:
    assert ledger.backoff_ms(attempt, Longest()) == most * 1000
    chance = random.Random(1)
    delays = [ledger.backoff_ms(attempt, chance) for _ in range(500)]
    assert min(delays) < most * 100 < most * 900 < max(delays) <= most * 1000, "full jitter"

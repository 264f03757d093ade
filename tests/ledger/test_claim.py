"""Claiming: in which order, what is left alone, how far ahead, and never one order twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import pytest

import ledger
from database import Database
from ledger import Claimed, Lane
from models import PENDING, WIP
from tests.factories import EVERY_LANE, MANAGER, claim, ending, new_order, order_in, submit
from tests.ledger import evidence
from tests.support import wait_until

MINUTE = 60_000


def ids(claimed: Sequence[Claimed]) -> list[str]:
    return [order.id for order in claimed]


def test_high_before_normal_before_low_then_by_due_time_then_by_arrival(
    database: Database,
) -> None:
    now = ledger.find(database, submit(database, queue="other")).created_on
    low = submit(database, priority=3, run_at=now + 1 * MINUTE)
    later = submit(database, priority=2, run_at=now + 3 * MINUTE)
    first = submit(database, priority=2, run_at=now + 2 * MINUTE)
    second = submit(database, priority=2, run_at=now + 2 * MINUTE)
    high = submit(database, priority=1, run_at=now + 4 * MINUTE)
    for order in (low, later, first, second, high):
        evidence.waited(database, order, 5 * MINUTE)
    assert ids(claim(database, free=2)) == [high, first]
    assert ids(claim(database, free=9)) == [second, later, low]


def test_lanes_are_walked_in_their_order(database: Database) -> None:
    placed = {
        Lane(queue, priority): [submit(database, queue=queue, priority=priority) for _ in range(2)]
        for queue in ("a", "b")
        for priority in (1, 2)
    }
    lanes = [Lane("b", 2), Lane("a", 1), Lane("b", 1), Lane("a", 2)]
    wanted = [order for lane in lanes for order in placed[lane]]
    assert ids(ledger.claim(database, MANAGER, lanes, 5)) == wanted[:5]
    assert ids(ledger.claim(database, MANAGER, lanes, 5)) == wanted[5:]


def test_what_is_due_in_the_future_waits(database: Database) -> None:
    order = submit(database, delay_ms=MINUTE)
    assert claim(database) == []
    evidence.waited(database, order, MINUTE)
    assert ids(claim(database)) == [order]


def test_only_the_queues_of_the_lanes_are_served(database: Database) -> None:
    submit(database, queue="other")
    assert claim(database, free=5) == []
    assert len(ledger.claim(database, MANAGER, [Lane("other", 2)], 5)) == 1


def test_a_paused_queue_is_passed_over(database: Database) -> None:
    submit(database, queue="a")
    other = submit(database, queue="b")
    ledger.pause(database, "a")
    lanes = [Lane("a", 2), Lane("b", 2)]
    assert ids(ledger.claim(database, MANAGER, lanes, 5)) == [other]
    ledger.resume(database, "a")
    assert len(ledger.claim(database, MANAGER, lanes, 5)) == 1


def test_everything_may_be_paused(database: Database) -> None:
    submit(database)
    ledger.pause(database)
    assert claim(database) == []
    ledger.resume(database, "default")
    assert claim(database) == [], "one queue's row does not lift the pause of all"
    ledger.resume(database)
    assert len(claim(database)) == 1


def test_a_lane_with_an_age_takes_only_what_waited_as_long(database: Database) -> None:
    old, young = submit(database), submit(database)
    evidence.waited(database, old, MINUTE)
    assert ids(ledger.claim(database, MANAGER, [Lane("default", 2, MINUTE)], 5)) == [old]
    assert ids(claim(database, free=5)) == [young]


def test_an_overdue_order_goes_before_higher_classes_and_the_rest_after_them(
    database: Database,
) -> None:
    old, young, high = submit(database), submit(database), submit(database, priority=1)
    evidence.waited(database, old, 2 * MINUTE)
    lanes = [Lane("default", 2, MINUTE), *EVERY_LANE]
    assert ids(ledger.claim(database, MANAGER, lanes, 9)) == [old, high, young]


def test_lanes_that_overlap_still_fill_the_claim(database: Database) -> None:
    orders = [submit(database) for _ in range(8)]
    for order in orders[:3]:
        evidence.waited(database, order, 2 * MINUTE)
    lanes = [Lane("default", 2, MINUTE), *EVERY_LANE]
    assert len(ledger.claim(database, MANAGER, lanes, 6)) == 6


@pytest.mark.parametrize(
    ("waiting", "free", "ahead", "short", "taken"),
    [
        ("lll", 2, 0, "s", 2),
        ("lll", 2, 5, "s", 2),
        ("sss", 2, 5, "s", 3),
        ("sssss", 1, 2, "s", 3),
        ("lsls", 1, 5, "s", 2),
        ("llss", 1, 5, "s", 1),
        ("sssl", 0, 5, "s", 3),
        ("lsss", 0, 5, "s", 0),
        ("stst", 1, 5, "st", 4),
        ("sss", 1, 5, "", 1),
        ("lslsssl", 3, 9, "s", 6),
        ("", 3, 3, "s", 0),
        ("s", 0, 0, "s", 0),
    ],
)
def test_ahead_of_free_workers_only_short_types_are_taken(
    database: Database, waiting: str, free: int, ahead: int, short: str, taken: int
) -> None:
    orders = [new_order(type=kind) for kind in waiting]
    ledger.submit(database, [ledger.Request(orders)])
    claimed = ledger.claim(database, MANAGER, EVERY_LANE, free, ahead, set(short))
    assert ids(claimed) == [order.id for order in orders[:taken]]


def test_the_queues_in_which_orders_wait_are_told_and_no_others(database: Database) -> None:
    assert ledger.waiting_queues(database) == []
    for queue in ("a.b", "B", "b", "a-b", "z"):
        for priority in (3, 1):
            submit(database, queue=queue, priority=priority)
    later = submit(database, queue="later", delay_ms=MINUTE)
    ledger.pause(database, "never-used")
    found = ledger.waiting_queues(database)
    assert sorted(found) == ["B", "a-b", "a.b", "b", "later", "z"]
    for nth in range(2):
        assert len(ledger.claim(database, MANAGER, [Lane("b", 3), Lane("b", 1)], 1)) == 1
        assert ("b" in ledger.waiting_queues(database)) == (nth == 0)
    ledger.cancel(database, later)
    assert sorted(ledger.waiting_queues(database)) == ["B", "a-b", "a.b", "z"]


def test_without_lanes_nothing_is_claimed(database: Database) -> None:
    submit(database)
    assert ledger.claim(database, MANAGER, [], 5) == []


def test_a_claim_gives_all_that_a_worker_needs(database: Database) -> None:
    order = new_order(payload='{"x": 1}', max_attempts=9, timeout_ms=8, max_silence_ms=7)
    ledger.submit(database, [ledger.Request([order])])
    due = ledger.find(database, order.id).run_at
    assert claim(database) == [
        Claimed(order.id, "add", "default", 2, '{"x": 1}', 1, 1, 0, 9, 8, 7, due)
    ]
    row = ledger.find(database, order.id)
    assert (row.status, row.lease, row.attempts, row.manager) == (WIP, 1, 1, MANAGER)
    for name in ("worker", "started_on", "completed_on", "progress"):
        assert getattr(row, name) is None, name
    assert row.last_updated >= row.created_on
    assert evidence.events(database, "claimed") == [("claimed", [order.id], MANAGER, {})]
    assert evidence.levels(database) == {WIP: 1}


def test_lease_and_attempts_grow_with_every_claim(database: Database) -> None:
    submit(database, max_attempts=9)
    for nth in (1, 2, 3):
        (order,) = claim(database)
        assert (order.lease, order.attempts) == (nth, nth)
        ledger.renew(database, MANAGER, [ledger.Beat(order.id, nth, "w", 5, '{"percent":5}')])
        ledger.finish(database, MANAGER, [ending(order, PENDING, delay_ms=0)])
    ledger.cancel(database, order.id)
    ledger.retry(database, order.id)
    (again,) = claim(database)
    assert (again.lease, again.attempts) == (4, 1), "attempts start anew, the lease never does"
    row = ledger.find(database, order.id)
    for name in ("progress", "started_on", "worker"):
        assert getattr(row, name) is None, "nothing of an earlier attempt"


def test_an_order_in_any_other_state_is_left_alone(database: Database) -> None:
    for status in ("wip", "completed", "retrieved", "failed", "cancelled"):
        order_in(database, status)
    rows = evidence.orders(database)
    assert claim(database, free=9) == []
    assert evidence.orders(database) == rows


def test_claimers_at_once_never_get_the_same_order(database: Database) -> None:
    total = 2000
    ledger.submit(database, [ledger.Request([new_order() for _ in range(total)])])

    def work(manager: str) -> list[str]:
        mine: list[str] = []
        for free in itertools.cycle((1, 7, 30)):
            claimed = claim(database, manager, free)
            if not claimed:
                return mine
            assert {order.lease for order in claimed} == {1}
            mine += ids(claimed)
        raise AssertionError("unreachable")

    names = [f"manager-{n}" for n in range(4)]
    taken = evidence.at_once([lambda name=name: work(name) for name in names])  # type: ignore[misc]
    got = [order for mine in taken for order in mine]
    assert len(got) == len(set(got)) == total
    assert evidence.counted(database) == evidence.levels(database) == {WIP: total}
    for name, mine in zip(names, taken, strict=True):
        claimed = [
            i for e in evidence.events(database, "claimed") if e.manager == name for i in e.ids
        ]
        assert sorted(claimed) == sorted(mine)


def test_what_a_claim_leaves_is_there_for_another_at_the_same_time(database: Database) -> None:
    """It looks far ahead for short types, but must hold nothing that it does not take."""
    managers = 3
    for _ in range(10):
        ledger.submit(database, [ledger.Request([new_order(type="l") for _ in range(managers)])])

        def work(manager: str) -> list[Claimed]:
            return ledger.claim(database, manager, EVERY_LANE, 1, 500, ["s"])

        names = [f"manager-{n}" for n in range(managers)]
        taken = evidence.at_once([lambda name=name: work(name) for name in names])  # type: ignore[misc]
        assert [len(mine) for mine in taken] == [1] * managers


def test_nothing_is_claimed_any_more_when_a_pause_has_returned(database: Database) -> None:
    ledger.submit(database, [ledger.Request([new_order() for _ in range(3000)])])
    stop = threading.Event()
    tried = {"first": 0, "second": 0}

    def work(manager: str) -> None:
        while not stop.is_set():
            claim(database, manager)
            tried[manager] += 1

    def both_try_again() -> None:
        before = dict(tried)
        wait_until(lambda: all(tried[name] > before[name] + 1 for name in tried))

    def steer() -> None:
        try:
            for _ in range(20):
                both_try_again()
                ledger.pause(database)
                seen = evidence.counted(database)
                both_try_again()
                assert evidence.counted(database) == seen
                ledger.resume(database)
        finally:
            stop.set()

    evidence.at_once([lambda: work("first"), lambda: work("second"), steer])
    assert evidence.counted(database)[WIP] > 40

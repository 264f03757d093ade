"""In which order queues are walked, and what may be taken ahead of the workers."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from itertools import pairwise

import pytest

from ledger import Claimed, Lane
from manager.lanes import BOUNDS_MS, MOST_KEPT, Lanes
from manager.pace import AHEAD_ORDERS, AHEAD_SECONDS, STOCK_SECONDS, Pace
from tests.manager.by_hand import assignment

HIGH, NORMAL, LOW = 1, 2, 3


class Walked(Lanes):
    """Lanes of a manager that always finds orders in the same queues."""

    def __init__(self, *queues: str) -> None:
        super().__init__()
        self.queues = queues

    def walk(self) -> list[Lane]:
        return self.next(self.queues)


def taken(queue: str, count: int = 1, priority: int = NORMAL) -> list[Claimed]:
    """What a claim brings that finds a deep backlog of such orders in this queue."""
    return [assignment(queue=queue, priority=priority).order] * count


def first_normal(lanes: Walked, *empty: str) -> str:
    """From which queue the next claim takes when all but these have only `normal` orders."""
    walk = lanes.next([queue for queue in lanes.queues if queue not in empty])
    return next(lane.queue for lane in walk if lane.priority == NORMAL)


def test_without_a_queue_there_is_nothing_to_walk() -> None:
    assert Lanes().next([]) == []


def test_high_before_normal_before_low_and_every_queue_in_each() -> None:
    lanes = Walked("a", "b", "c")
    for _ in range(4):
        walk = lanes.walk()
        assert [lane.priority for lane in walk] == [HIGH] * 3 + [NORMAL] * 3 + [LOW] * 3
        for at in (0, 3, 6):
            assert {lane.queue for lane in walk[at : at + 3]} == {"a", "b", "c"}
        assert all(lane.age_ms == 0 for lane in walk)


def test_queues_take_turns() -> None:
    lanes = Walked("a", "b", "c")
    first = [lanes.walk()[0].queue for _ in range(4)]
    assert set(first[:3]) == {"a", "b", "c"}
    assert all(one != two for one, two in pairwise(first))


def test_one_claim_in_ten_serves_first_what_is_past_its_bound() -> None:
    lanes = Walked("a", "b")
    walks = [lanes.walk() for _ in range(100)]
    for priority in (NORMAL, LOW):
        special = [at for at, walk in enumerate(walks) if walk[0].priority == priority]
        assert len(special) == 10
        assert all(after - before == 10 for before, after in pairwise(special))
        for at in special:
            overdue, rest = walks[at][:2], walks[at][2:]
            assert {lane.queue for lane in overdue} == {"a", "b"}
            assert {(lane.priority, lane.age_ms) for lane in overdue} == {
                (priority, BOUNDS_MS[priority])
            }
            assert [lane.priority for lane in rest] == [HIGH] * 2 + [NORMAL] * 2 + [LOW] * 2


def test_the_bounds_are_a_minute_and_five() -> None:
    assert BOUNDS_MS == {NORMAL: 60_000, LOW: 300_000}


@pytest.mark.parametrize("count", [2, 3, 5, 7, 10, 20, 50])
def test_no_queue_comes_first_more_often_than_another(count: int) -> None:
    """Whatever the number of queues has in common with the ten claims of a round."""
    lanes = Walked(*(f"q{number:02}" for number in range(count)))
    first = Counter(first_normal(lanes) for _ in range(10 * count))
    assert set(first.values()) == {10}


@pytest.mark.parametrize("most", [1, 8, 500])
def test_each_queue_gets_as_many_orders_however_many_a_claim_takes(most: int) -> None:
    names = [f"q{number:02}" for number in range(20)]
    lanes = Walked(*names)
    chance = random.Random(1)
    had: Counter[str] = Counter()
    for _ in range(400):
        queue, count = first_normal(lanes), chance.randint(1, most)
        lanes.took(taken(queue, count))
        had[queue] += count
    assert max(had.values()) - min(had[name] for name in names) <= most


def test_a_queue_that_was_empty_comes_first_but_makes_up_for_nothing() -> None:
    lanes = Walked("busy", "quiet", "steady")
    for _ in range(100):
        lanes.took(taken(first_normal(lanes, "quiet")))
    turns = []
    for _ in range(9):
        turns.append(first_normal(lanes))
        lanes.took(taken(turns[-1]))
    assert turns[0] == "quiet"
    assert max(Counter(turns).values()) <= 4, turns


def test_what_a_queue_had_of_one_class_counts_for_no_other() -> None:
    lanes = Walked("a", "b")
    for _ in range(3):
        lanes.walk()
        lanes.took([assignment(queue="a", priority=LOW).order] * 10)
    walk = lanes.walk()
    assert [lane.queue for lane in walk if lane.priority == LOW] == ["b", "a"]
    assert {walk[0].queue, lanes.walk()[0].queue} == {"a", "b"}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10])
def test_queues_take_turns_in_what_is_past_its_bound_too(count: int) -> None:
    """Else one queue with an endless overdue backlog lets those of the others starve."""
    names = [f"q{number}" for number in range(count)]
    lanes = Walked(*names)
    first: dict[int, set[str]] = {NORMAL: set(), LOW: set()}
    for _ in range(count * 20):
        lane = lanes.walk()[0]
        if lane.age_ms:
            first[lane.priority].add(lane.queue)
    assert first == {NORMAL: set(names), LOW: set(names)}


def test_only_queues_in_which_orders_wait_are_walked() -> None:
    lanes = Lanes()
    for waiting in (["a"], ["a", "b"], ["b"], []):
        assert {lane.queue for lane in lanes.next(waiting)} == set(waiting)


def test_a_queue_that_empties_between_its_batches_gets_no_more_than_its_share() -> None:
    """It comes and goes, as queues do whose customers wait for each result."""
    lanes = Lanes()
    had = Counter({"deep": 0, "bursts": 0})
    here = True
    for _ in range(400):
        lane = next(lane for lane in lanes.next(["bursts", "deep"] if here else ["deep"]))
        lanes.took(taken(lane.queue, 10, priority=lane.priority))
        had[lane.queue] += 10
        here = lane.queue != "bursts"
    assert had["bursts"] <= had["deep"]


def test_what_is_remembered_of_queues_is_bounded_and_nothing_that_counts_is_forgotten() -> None:
    lanes = Lanes()
    lanes.took(taken("greedy", 10 * MOST_KEPT))
    for nth in range(3 * MOST_KEPT):
        lanes.next([f"once-{nth}"])
        lanes.took(taken(f"once-{nth}"))
    assert len(lanes._had) <= MOST_KEPT + 6
    walk = [lane.queue for lane in lanes.next(["greedy", "other"]) if lane.priority == NORMAL]
    assert walk == ["other", "greedy"]


def test_nothing_is_ahead_before_anything_was_measured() -> None:
    pace = Pace()
    assert pace.short() == ()
    assert pace.ahead(8) == 0


def test_only_types_below_50_ms_are_short() -> None:
    pace = Pace()
    pace.observe("quick", 0.049)
    pace.observe("slow", 0.05)
    pace.observe("slower", 3)
    assert pace.short() == ("quick",)


def test_ahead_is_a_fifth_of_a_second_of_the_slowest_short_type_and_at_most_500() -> None:
    pace = Pace()
    pace.observe("quick", 0.000_001)
    assert pace.ahead(1) == AHEAD_ORDERS == 500
    pace.observe("less", 0.04)
    assert pace.ahead(2) == 10
    pace.observe("slow", 1.0)
    assert pace.ahead(2) == 10
    assert STOCK_SECONDS < AHEAD_SECONDS, "else what is in stock is handed back"
    pace = Pace()
    pace.observe("free", 0.0)
    assert pace.ahead(8) == 500


def test_the_mean_follows_a_type_that_changes() -> None:
    pace = Pace()
    pace.observe("job", 0.01)
    for _ in range(200):
        pace.observe("job", 1.0)
    assert pace.short() == ()
    for _ in range(200):
        pace.observe("job", 0.001)
    assert pace.short() == ("job",)


@pytest.mark.parametrize(("seconds", "runs"), [(1.0, 1), (0.3, 1), (0.1, 3), (0.06, 8)])
def test_a_type_that_turns_long_is_noticed_soon(seconds: float, runs: int) -> None:
    pace = Pace()
    for _ in range(100):
        pace.observe("job", 0.01)
    for _ in range(runs):
        assert pace.short() == ("job",)
        pace.observe("job", seconds)
    assert pace.short() == ()


def test_a_rare_long_run_does_not_make_a_type_long() -> None:
    pace = Pace()
    pace.observe("job", 0.001)
    pace.observe("job", 0.2)
    assert pace.short() == ("job",)
    for _ in range(60):
        pace.observe("job", 0.001)
    assert pace.ahead(1) > 40


def test_the_pace_is_read_while_it_is_written() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    pace = Pace()

    def observe() -> None:
        for number in range(3_000):
            pace.observe(f"type-{number}", 0.001)

    writer = threading.Thread(target=observe)
    try:
        writer.start()
        while writer.is_alive():
            pace.short()
            pace.ahead(8)
    finally:
        writer.join()
        sys.setswitchinterval(interval)

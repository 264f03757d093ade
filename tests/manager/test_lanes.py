"""In which order queues are walked, and what may be taken ahead of the workers."""

from __future__ import annotations

import sys
import threading
from itertools import pairwise

import pytest

from ledger import Lane
from manager.lanes import BOUNDS_MS, Lanes
from manager.pace import AHEAD_ORDERS, Pace

HIGH, NORMAL, LOW = 1, 2, 3


def lanes_of(*queues: str) -> Lanes:
    lanes = Lanes()
    lanes.know(queues)
    return lanes


def test_without_a_queue_there_is_nothing_to_walk() -> None:
    assert Lanes().next() == []


def test_high_before_normal_before_low_and_every_queue_in_each() -> None:
    lanes = lanes_of("a", "b", "c")
    for _ in range(4):
        walk = lanes.next()
        assert [lane.priority for lane in walk] == [HIGH] * 3 + [NORMAL] * 3 + [LOW] * 3
        for at in (0, 3, 6):
            assert {lane.queue for lane in walk[at : at + 3]} == {"a", "b", "c"}
        assert all(lane.age_ms == 0 for lane in walk)


def test_queues_take_turns() -> None:
    lanes = lanes_of("a", "b", "c")
    first = [lanes.next()[0].queue for _ in range(4)]
    assert set(first[:3]) == {"a", "b", "c"}
    assert all(one != two for one, two in pairwise(first))


def test_one_claim_in_ten_serves_first_what_is_past_its_bound() -> None:
    lanes = lanes_of("a", "b")
    walks = [lanes.next() for _ in range(100)]
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


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10])
def test_queues_take_turns_in_what_is_past_its_bound_too(count: int) -> None:
    """Else one queue with an endless overdue backlog lets those of the others starve."""
    names = [f"q{number}" for number in range(count)]
    lanes = lanes_of(*names)
    first: dict[int, set[str]] = {NORMAL: set(), LOW: set()}
    for _ in range(count * 20):
        lane = lanes.next()[0]
        if lane.age_ms:
            first[lane.priority].add(lane.queue)
    assert first == {NORMAL: set(names), LOW: set(names)}


def test_a_manager_told_its_queues_serves_no_other() -> None:
    lanes = Lanes(("mine",))
    assert {lane.queue for lane in lanes.next()} == {"mine"}
    assert not lanes.know(["mine", "other"])
    assert {lane.queue for lane in lanes.next()} == {"mine"}


def test_new_queues_are_news_once_and_gone_ones_are_forgotten() -> None:
    lanes = lanes_of("a")
    assert not lanes.know(["a"])
    assert lanes.know(["a", "b"])
    assert not lanes.know(["b", "a"])
    assert not lanes.know(["b"])
    assert {lane.queue for lane in lanes.next()} == {"b"}
    assert isinstance(lanes.next()[0], Lane)


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


def test_ahead_is_a_second_of_work_of_the_slowest_short_type_and_at_most_500() -> None:
    pace = Pace()
    pace.observe("quick", 0.000_001)
    assert pace.ahead(1) == AHEAD_ORDERS == 500
    pace.observe("less", 0.04)
    assert pace.ahead(2) == 50
    pace.observe("slow", 1.0)
    assert pace.ahead(2) == 50
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

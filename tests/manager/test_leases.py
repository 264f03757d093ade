"""What a manager holds: ended exactly once, released by lease, trusted for a time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from manager.leases import MARGIN, Leases
from tests.manager.by_hand import assignment


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def race(*targets: object) -> list[BaseException]:
    """Run these at once; what they raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(targets))

    def runner(target: object) -> None:
        barrier.wait()
        try:
            target()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=runner, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return errors


def test_nothing_is_begun_while_others_may_have_it() -> None:
    leases, mine = Leases(30), assignment()
    leases.add([mine])
    leases.renewed(time.monotonic() - 30)
    assert not leases.begin(mine)
    assert leases.withdraw(mine), "it is given back"


def test_an_assignment_is_open_until_settled_and_held_until_released() -> None:
    leases, mine = Leases(30), assignment()
    assert not leases.is_open(mine)
    leases.add([mine])
    assert leases.is_open(mine)
    assert leases.open() == leases.held() == [mine]
    assert leases.get(mine.id) is mine
    assert leases.settle(mine)
    assert not leases.is_open(mine)
    assert leases.open() == []
    assert leases.held() == [mine]
    leases.release([(mine.id, mine.order.lease)])
    assert leases.held() == []
    assert leases.get(mine.id) is None


def test_of_eight_that_end_the_same_attempt_exactly_one_wins(busy_threads: None) -> None:
    leases = Leases(30)
    orders = [assignment() for _ in range(300)]
    leases.add(orders)
    won: list[str] = []

    def settle_all() -> None:
        won.extend(order.id for order in orders if leases.settle(order))

    assert race(*[settle_all] * 8) == []
    assert sorted(won) == sorted(order.id for order in orders)


def test_a_release_names_its_lease() -> None:
    leases, new = Leases(30), assignment(lease=2)
    leases.add([new])
    leases.release([(new.id, 1)])
    assert leases.get(new.id) is new
    leases.release([(new.id, 2), ("unknown", 1)])
    leases.release([(new.id, 2)])
    assert leases.held() == []


def test_the_same_release_from_two_sides_at_once_harms_nobody(busy_threads: None) -> None:
    """The heartbeat lets go of what was lost while the writer lets go of what was written."""
    errors: list[BaseException] = []
    for _ in range(40):
        leases = Leases(30)
        orders = [assignment() for _ in range(400)]
        leases.add(orders)
        done = [(order.id, order.order.lease) for order in orders]
        errors += race(*[lambda held=leases, done=done: held.release(done)] * 4)
        if errors:
            break
    assert errors == []


def test_of_two_leases_of_one_order_the_older_is_told_to_stop() -> None:
    """Taken back by a rescuer and claimed again here, before a beat could tell that it was lost."""
    leases = Leases(30)
    old = assignment(lease=1)
    new = assignment(id=old.id, lease=2)
    leases.add([old])
    old.context = _Told()  # type: ignore[assignment]
    leases.add([new])
    assert leases.get(new.id) is new
    assert leases.is_open(new)
    assert old.context.told or old in leases.held(), "no beat will ever ask about the older one"  # type: ignore[union-attr]


def test_what_is_in_the_hand_is_not_taken_up_twice() -> None:
    """A claim whose answer was lost is adopted; when the answer comes after all, it is the same."""
    leases = Leases(30)
    adopted = assignment(lease=2)
    assert leases.add([adopted]) == [adopted]
    late, older = assignment(id=adopted.id, lease=2), assignment(id=adopted.id, lease=1)
    assert leases.add([late, older]) == []
    assert leases.get(adopted.id) is adopted
    assert leases.open() == [adopted]
    assert not leases.begin(late)
    assert not adopted.told


def test_an_order_is_taken_up_or_given_back_but_not_both() -> None:
    leases = Leases(30)
    for _ in range(300):
        order = assignment()
        leases.add([order])
        ways: list[str] = []
        errors = race(
            lambda order=order, ways=ways: leases.begin(order) and ways.append("run"),
            lambda order=order, ways=ways: leases.withdraw(order) and ways.append("back"),
        )
        assert errors == []
        assert len(ways) == 1
        assert leases.is_open(order) is (ways == ["run"])
        assert not leases.waits(order)


def test_what_has_ended_is_neither_taken_up_nor_given_back() -> None:
    leases = Leases(30)
    order = assignment()
    leases.add([order])
    assert leases.waits(order)
    assert leases.settle(order)
    assert not leases.waits(order)
    assert not leases.begin(order)
    assert not leases.withdraw(order)


class _Told:
    told = False

    def cancel(self) -> None:
        self.told = True


def test_leases_are_not_trusted_to_the_end_of_the_stale_time() -> None:
    leases = Leases(10)
    now = time.monotonic()
    leases.renewed(now)
    assert not leases.lapsed(now)
    assert not leases.lapsed(now + 10 * (1 - MARGIN) - 0.01)
    assert leases.lapsed(now + 10 * (1 - MARGIN) + 0.01)
    assert leases.lapsed(now + 10)
    leases.renewed(now + 10)
    assert not leases.lapsed(now + 10)


def test_waiting_until_nothing_is_held() -> None:
    leases, mine = Leases(30), assignment()
    assert leases.wait_empty(0)
    leases.add([mine])
    assert not leases.wait_empty(0.02)
    threading.Timer(0.05, leases.release, ([(mine.id, 1)],)).start()
    assert leases.wait_empty(5)

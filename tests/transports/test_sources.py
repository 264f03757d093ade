"""However a manager learns of orders: each is claimed once, none is lost, and all share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

import ledger
from database import Database
from models import PENDING, PRIORITIES, WIP
from tests.ledger.evidence import events, moves
from tests.servers.cut import Wire
from tests.support import wait_until
from tests.transports.brokers import NAMES, Broker
from tests.transports.road import DATABASE, Road, names, received, taken

HIGH, NORMAL, LOW = sorted(PRIORITIES.values())


@pytest.fixture(scope="session", params=[DATABASE, *NAMES])
def any_broker(request: pytest.FixtureRequest, brokers: Callable[[str], Broker]) -> Broker | None:
    """A broker that runs, or none."""
    return None if request.param == DATABASE else brokers(request.param)


@pytest.fixture
def road(any_broker: Broker | None, database: Database) -> Iterator[Road]:
    broker = any_broker
    opened = Road(database, broker, broker.queue() if broker else "default")
    yield opened
    opened.close()


def test_urgent_orders_come_first(road: Road) -> None:
    source = road.source("one")
    low, high, normal = (road.submit(3, priority=p) for p in (LOW, HIGH, NORMAL))
    road.relay()()
    assert names(taken(source, 9, free=1)) == high + normal + low


def test_an_urgent_order_that_comes_late_overtakes(road: Road) -> None:
    relay, source = road.relay(), road.source("one")
    many = road.submit(50)
    relay()
    first = taken(source, 10)
    late = road.submit(priority=HIGH)
    relay()
    assert names([*first, *taken(source, 2, free=1)]) == [*many[:10], *late, many[10]]


def test_nobody_holds_what_another_could_run(road: Road) -> None:
    sources = [road.source(name) for name in ("one", "two", "three")]
    orders = road.submit(10)
    road.relay()()
    # Each has one worker, and a long order on it.
    first = [taken(source, 1) for source in sources]
    assert all(len(some) == 1 for some in first)
    rest = taken(sources[2], 7, free=1)
    assert sorted(names([*(one for some in first for one in some), *rest])) == sorted(orders)


def test_many_managers_share_and_each_order_is_claimed_once(road: Road) -> None:
    relay, sources = road.relay(), [road.source(f"m{nth}") for nth in range(3)]
    orders = road.submit(300)
    got: list[list[str]] = [[], [], []]
    ended = threading.Event()

    def work(nth: int) -> None:
        while not ended.is_set():
            got[nth] += names(sources[nth].take(4, 0))
            ended.wait(0.002)
        road.database.discard()

    threads = [threading.Thread(target=work, args=(nth,)) for nth in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: relay() is None or sum(map(len, got)) >= 300, "all are claimed")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert sorted(got[0] + got[1] + got[2]) == sorted(orders)
    assert moves(road.database)[PENDING, WIP] == 300


def test_doubled_and_disordered_messages_change_nothing(road: Road) -> None:
    sources = [road.source("one"), road.source("two")]
    orders = road.submit(30)
    for ids in (orders[::-1], orders[::2], orders):
        road.publish(ids)
    road.relay()()
    found = [*taken(sources[0], 15), *taken(sources[1], 15)]
    assert sorted(names(found)) == sorted(orders)
    assert {order.lease for order in found} == {1}
    for source in sources:
        assert source.take(5, 0) == []
    assert sum(len(event.ids) for event in events(road.database, "claimed")) == 30


def test_lost_messages_are_sent_again(road: Road) -> None:
    relay, source = road.relay(), road.source("one")
    orders = road.submit(20)
    relay()
    road.lose(20)
    assert sorted(names(taken(source, 20, meanwhile=relay))) == sorted(orders)


def test_what_a_dead_manager_had_received_goes_to_another(road: Road) -> None:
    other = road.source("two")
    orders = road.submit(5)
    road.relay()()
    if road.broker is not None:
        gone = road.connect()
        received(gone, road.queue, 5)
        gone.close()
    assert sorted(names(taken(other, 5))) == sorted(orders)


def test_what_has_no_room_yet_is_there_for_later(road: Road) -> None:
    one, two = road.source("one"), road.source("two")
    orders = road.submit(6)
    road.relay()()
    first = taken(one, 2)
    one.rest()
    assert sorted(names([*first, *taken(two, 4)])) == sorted(orders)


def test_paused_orders_wait_and_come_when_resumed(road: Road) -> None:
    relay, source = road.relay(), road.source("one")
    orders = road.submit(3)
    relay()
    ledger.pause(road.database, road.queue)
    assert source.take(3, 0) == []
    source.rest()
    ledger.resume(road.database, road.queue)
    assert sorted(names(taken(source, 3, meanwhile=relay))) == sorted(orders)


def test_orders_come_while_the_broker_is_away_and_when_it_is_back(road: Road) -> None:
    if road.broker is None:
        orders = road.submit(2)
        assert names(taken(road.source("one"), 2)) == orders
        return
    with Wire(road.broker.port) as wire:
        relay, source = road.relay(wire=wire), road.source("one", wire)
        before = road.submit(3)
        relay()
        assert names(taken(source, 3)) == before
        wire.cut()
        meanwhile = road.submit(3)
        assert names(taken(source, 3)) == meanwhile
        wait_until(lambda: relay() is None or events(road.database, "broker_away"), "it is told")
        wire.mend()
        wait_until(lambda: relay() is None or events(road.database, "broker_back"), "it is back")
        wait_until(lambda: source.take(1, 0) == [] and source.is_up, "it is used again")  # type: ignore[attr-defined]
        after = road.submit(3)
        relay()
        assert names(taken(source, 3)) == after
        assert source.found == 0  # type: ignore[attr-defined]

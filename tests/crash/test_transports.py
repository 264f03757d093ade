"""Managers whose orders a broker brings: killed in the middle, and told the wrong things."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from ledger import chores
from ledger.broker import chore_of
from manager.transports.base import Parcel
from models import COMPLETED
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.servers.nats import Nats
from tests.servers.rabbitmq import RabbitServer
from tests.support import wait_until
from tests.transports.brokers import NAMES, Broker, Server, broker_at

LOAD = 2_000
JOBS = "tests.crash.jobs,tests.crash.paced"
ONE_WORKER = {"max_workers": 1, "jobs": JOBS}


class Way(NamedTuple):
    """How ids travel: settings for managers, and a queue of the test's own."""

    settings: dict[str, Any]
    queue: str
    broker: Broker | None = None


def by(broker: Broker) -> Way:
    queue = broker.queue()
    # Named, so that nobody has to find out first that there is this queue.
    settings = {"transport": broker.name, f"{broker.name}_url": broker.url, "queues": queue}
    return Way(settings, queue, broker)


@pytest.fixture(params=("database", *NAMES))
def way(request: pytest.FixtureRequest, brokers: Callable[[str], Broker]) -> Way:
    """Each transport in turn."""
    if request.param == "database":
        return Way({}, "default")
    return by(brokers(request.param))


@pytest.fixture(params=NAMES)
def mortal(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Way]]:
    """A server of our own, which may be killed and wiped."""
    if request.param == "rabbitmq":
        server: RabbitServer = request.getfixturevalue("mortal_rabbitmq")
        yield server, by(broker_at("rabbitmq", server.url))
        return
    with Nats() as server_of_nats:
        yield server_of_nats, by(broker_at("nats", server_of_nats.url))


def paced(site: Site, way: Way, times_ms: list[int]) -> list[str]:
    return [
        site.submit("paced", queue=way.queue, payload=site.effects.payload(ms=ms))
        for ms in times_ms
    ]


def shares(site: Site, orders: list[str]) -> list[int]:
    pids = Counter(effect.pid for one in orders for effect in site.effects.all("began", one))
    return sorted(pids[process.pid] for process in site.processes)


def test_three_managers_of_one_worker_share_evenly_and_take_over_from_one_that_is_killed(
    site: Site, way: Way
) -> None:
    managers = site.managers(3, **ONE_WORKER | way.settings)
    site.ends(*site.submit_many("mark", 3, queue=way.queue))
    orders = paced(site, way, [300] * 10)
    site.ends(*orders)
    assert shares(site, orders) == [3, 3, 4]
    assert {site.order(one).attempts for one in orders} == {1}

    times = random.Random(7)
    orders = paced(site, way, [times.randint(100, 500) for _ in range(10)])
    victim = managers[0].pid

    def held() -> list[str]:
        begun = [e.order for e in site.effects.all("began") if e.pid == victim]
        return [one for one in begun if one in orders and not site.effects.all("ended", one)]

    wait_until(held, "it is in the middle of one")
    managers[0].kill()
    (lost,) = held()
    site.ends(*orders)
    assert counted(site.database) == {COMPLETED: 23} == levels(site.database)
    row = site.order(lost)
    assert (row.status, row.lease, row.crashes) == (COMPLETED, 2, 1)
    (ended,) = site.effects.all("ended", lost)
    assert ended.pid != victim
    assert {one for event in events(site.database, "rescued") for one in event.ids} == {lost}


@pytest.mark.parametrize("name", NAMES)
def test_messages_that_are_doubled_reordered_and_false_make_one_outcome_an_order(
    site: Site, name: str, brokers: Callable[[str], Broker]
) -> None:
    way = by(brokers(name))
    site.managers(2, **way.settings)
    orders = site.submit_many("mark", 300, queue=way.queue)
    later = site.submit_many("mark", 5, queue=way.queue, run_at=2**42)
    assert way.broker is not None
    transport = way.broker.connect(way.broker.url)
    try:
        for some in (orders[::-1], orders, later * 3):
            transport.publish([Parcel(one, way.queue, 1 + n % 3) for n, one in enumerate(some)])
    finally:
        transport.close()
    site.ends(*orders)
    assert {site.order(one).status for one in later} == {"pending"}
    recorded = Counter(one for event in events(site.database, "completed") for one in event.ids)
    assert recorded == Counter(orders)
    assert {effect.lease for effect in site.effects.all()} == {1}


def test_a_broker_that_is_killed_and_loses_all_that_it_had(
    site: Site, mortal: tuple[Server, Way]
) -> None:
    server, way = mortal
    name = way.settings["transport"]
    managers = site.managers(3, **way.settings)
    orders = site.submit_many("mark", LOAD // 4, queue=way.queue)
    wait_until(lambda: len(site.effects.all("ended")) > 50, "orders flow")
    server.kill()
    server.wipe()
    for _ in range(3):
        orders += site.submit_many("mark", LOAD // 4, queue=way.queue)
    wait_until(lambda: len(site.effects.all("ended")) > LOAD // 2, "they flow without it")
    wait_until(lambda: events(site.database, "broker_away"), "it is told")
    assert "away_since" in chores.left(site.database, chore_of(name))
    server.start()
    wait_until(lambda: events(site.database, "broker_back"), "it is back, and told", 30)
    # One that had nothing to ask of it meanwhile may not have noticed.
    for manager in managers:
        if "the broker is away; polling" in manager.output:
            manager.says("the broker is back")
    last = site.submit_many("mark", 100, queue=way.queue)
    site.ends(*orders, *last, timeout=60)

    assert counted(site.database) == {COMPLETED: LOAD + 100} == levels(site.database)
    recorded = Counter(one for event in events(site.database, "completed") for one in event.ids)
    assert recorded == Counter([*orders, *last])
    (away,), (back,) = (events(site.database, kind) for kind in ("broker_away", "broker_back"))
    assert away.data["transport"] == back.data["transport"] == name
    assert back.data["from"] < back.data["to"]

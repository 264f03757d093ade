"""Real managers take in orders by a broker while they, or it, are killed; and it is observed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from database import Sql
from models import COMPLETED
from tests.crash.harness import Site
from tests.intake.conftest import Broker
from tests.intake.producers import NatsProducer
from tests.ledger.evidence import counted
from tests.servers.nats import Nats
from tests.support import wait_until

COUNT = 60
KEYS = Sql("SELECT count(*) FROM idempotency")


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    opened = Site(database_url, tmp_path)
    yield opened
    opened.close()
    assert not opened.faults()


def message(number: int) -> dict[str, Any]:
    return {"type": "add", "payload": {"num1": number, "num2": 1}}


def completed(site: Site, count: int) -> bool:
    return counted(site.database) == {COMPLETED: count}


def test_each_message_makes_one_order_whoever_is_killed(
    site: Site, broker: Broker, nats_server: Nats, rabbitmq: str
) -> None:
    settings = {"transport": broker.name, "nats_url": nats_server.url, "rabbitmq_url": rabbitmq}
    managers = site.managers(3, **settings)
    with broker.producer() as producer:
        wait_until(producer.is_ready, "there is where to publish")
        for number in range(COUNT):
            # Each comes twice: as another message with the same id where the broker knows ids.
            producer.publish(message(number), f"n{number}")
            producer.publish(message(number), f'"n{number}"')
            if number == COUNT // 2:
                managers[0].kill()
        producer.publish(b"{", "bad")
        wait_until(lambda: completed(site, COUNT), "all have run, and each once", 40)
        wait_until(lambda: producer.set_aside() == 1, "the bad one is put aside")
    assert site.database.read(KEYS) == [(COUNT,)]
    api = site.api()
    seen: dict[str, Any] = {}

    def is_shown() -> bool:
        seen.update(json.loads(api.ask("/api/v1/queues").body)["transport"])
        refused = seen.get("refused")
        return bool(refused and refused["depth"] == 1 and seen["queues"])

    wait_until(is_shown, "the broker is shown")
    assert (seen["name"], seen["away"]) == (broker.name, None)
    assert seen["submitted"]["depth"] == 0
    assert seen["queues"][0]["queue"] == "default"
    assert seen["sampledBy"]
    for manager in managers[1:]:
        manager.terminate()
        assert manager.wait() == 0


def test_a_broker_that_is_killed_loses_no_order(site: Site) -> None:
    with Nats() as server:
        site.managers(2, transport="nats", nats_url=server.url)
        with NatsProducer(server.url) as producer:
            wait_until(producer.is_ready, "there is where to publish")
            for number in range(COUNT):
                producer.publish(message(number), f"n{number}")
                if number == COUNT // 2:
                    server.kill()
                    server.start()
                    wait_until(partial(_published, producer, number), "it is back")
            wait_until(lambda: completed(site, COUNT), "all have run", 40)
        api = site.api()
        server.kill()

        def is_told() -> bool:
            away = json.loads(api.ask("/api/v1/queues").body)["transport"]["away"]
            return away is not None and "NATS" in away

        wait_until(is_told, "that it is away is shown")


def _published(producer: NatsProducer, number: int) -> bool:
    try:
        producer.publish(message(number), f"n{number}")
    except Exception:
        return False
    return True

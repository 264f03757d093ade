"""What a broker says is kept by whichever manager looks first, and shown to everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import ledger
from api import create_app
from api.services import services
from database import Database, Sql
from ledger import ManagerCard
from ledger.broker_sight import recall_look
from manager.intake.nats import NatsMailbox
from manager.observer import Observer
from manager.transports.base import Parcel
from manager.transports.nats import NatsTransport
from manager.transports.nats_link import NatsLink
from models import WIP
from settings import Settings
from tests import factories
from tests.intake.producers import NatsProducer
from tests.servers.nats import Nats

LATER = Sql("UPDATE broker_sample SET sampled_on = sampled_on - 10000")
AGAIN = Sql("UPDATE job_order SET attempts = 2 WHERE status = 'wip'")


@pytest.fixture
def server() -> Iterator[Nats]:
    with Nats() as made:
        yield made


@pytest.fixture
def transport(server: Nats) -> Iterator[NatsTransport]:
    made = NatsTransport(NatsLink(server.url, "a manager"))
    yield made
    made.close()


@pytest.fixture
def mailbox(server: Nats) -> Iterator[NatsMailbox]:
    made = NatsMailbox(NatsLink(server.url, "an intake"))
    made.receive(1, 0)
    yield made
    made.close()


def shown(database: Database) -> Any:
    application = create_app(Settings(), database)
    try:
        return application.test_client().get("/api/v1/queues").json
    finally:
        services(application).close()


def test_what_the_broker_holds_is_shown(
    database: Database, server: Nats, transport: NatsTransport, mailbox: NatsMailbox
) -> None:
    card = ManagerCard("m1", "host", 1, "0", "nats", 1, None, 5_000, 30_000)
    ledger.register(database, card)
    assert shown(database)["transport"] == {"name": "nats"}, "nobody has looked"
    factories.order_in(database, WIP)
    database.write(lambda tx: tx.run(AGAIN))
    order = factories.submit(database)
    transport.publish([Parcel(order, "default", 2), Parcel(order, "default", 1)])
    held = transport.receive(["default"], 1, 1)
    with NatsProducer(server.url) as producer:
        producer.publish(b"{")
    observer = Observer(database, "m1", transport, mailbox)
    observer.tick()
    found = shown(database)
    assert found["items"][0]["redelivered"] == 1
    (queue,) = found["transport"].pop("queues")
    assert 0 <= queue.pop("oldestWaitSeconds") < 60
    assert queue == {
        "queue": "default",
        "depth": 1,
        "unacknowledged": 1,
        "redelivered": 0,
        "consumers": None,
    }
    assert (found["transport"]["name"], found["transport"]["sampledBy"]) == ("nats", "m1")
    assert found["transport"]["submitted"]["depth"] == 1
    assert found["transport"]["refused"]["depth"] == 0
    transport.ack(held)


def test_one_look_serves_all_and_an_outage_is_told(
    database: Database, server: Nats, transport: NatsTransport, mailbox: NatsMailbox
) -> None:
    first = Observer(database, "m1", transport, mailbox)
    other = Observer(database, "m2", transport, mailbox)
    first.tick()
    other.tick()
    sight = recall_look(database, "nats")
    assert sight is not None
    assert sight.manager == "m1", "it is not due again yet"
    database.write(lambda tx: tx.run(LATER))
    server.kill()
    other.tick()
    sight = recall_look(database, "nats")
    assert sight is not None
    assert sight.manager == "m2"
    assert sight.look.away is not None
    assert sight.look.away.startswith("NATS: ")

"""A broker of each kind, with an intake of its own and a program that publishes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from database import Database
from manager.intake.duty import Intake
from manager.intake.mailbox import Mailbox
from manager.intake.nats import NatsMailbox
from manager.intake.rabbitmq import RabbitMailbox
from manager.transports.nats_link import NatsLink
from manager.transports.rabbit_link import RabbitLink
from settings import Settings
from tests.intake.producers import NatsProducer, Producer, RabbitProducer
from tests.manager.by_hand import Unlucky
from tests.servers.nats import Nats
from tests.transports.brokers import Broker as Running

SETTINGS = Settings()


@dataclass(frozen=True)
class Broker:
    """How to reach a broker, and what speaks to it."""

    name: str
    mailbox: Callable[[], Mailbox]
    producer: Callable[[], Producer]

    def intake(self, database: Database, mailbox: Mailbox | None = None) -> Intake:
        """An intake of this broker, which waits for little."""
        box = mailbox or self.mailbox()
        made = Intake(
            SETTINGS, database, "m1", box, lambda: None, wait_seconds=0.1, away_seconds=0.1
        )
        box.receive(1, 0)  # makes what it needs
        return made


@pytest.fixture(scope="session")
def rabbitmq(brokers: Callable[[str], Running]) -> str:
    """The URL of a real RabbitMQ."""
    return brokers("rabbitmq").url


@pytest.fixture(params=["nats", "rabbitmq"])
def broker(request: pytest.FixtureRequest, nats_server: Nats, rabbitmq: str) -> Broker:
    """An empty broker."""
    if request.param == "nats":
        made = Broker(
            "nats",
            lambda: NatsMailbox(NatsLink(nats_server.url, "the intake")),
            lambda: NatsProducer(nats_server.url),
        )
    else:
        made = Broker(
            "rabbitmq",
            lambda: RabbitMailbox(RabbitLink(rabbitmq, "the intake")),
            lambda: RabbitProducer(rabbitmq),
        )
    with made.producer() as producer:
        producer.empty()
    return made


@pytest.fixture
def intake(unlucky: Unlucky, broker: Broker) -> Iterator[Intake]:
    made = broker.intake(unlucky)
    yield made
    made.close()


@pytest.fixture
def producer(broker: Broker, intake: Intake) -> Iterator[Producer]:
    with broker.producer() as made:
        yield made


@pytest.fixture
def unlucky(database_url: str) -> Iterator[Unlucky]:
    """A database whose writes the test may let fail."""
    opened = Unlucky(database_url)
    yield opened
    opened.close()

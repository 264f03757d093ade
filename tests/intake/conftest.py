"""A broker of each kind, with an intake of its own and a program that publishes to it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from tests.servers.rabbitmq import VARIABLE
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
def broker(request: pytest.FixtureRequest, nats_server: Nats, rabbitmq: str) -> Iterator[Broker]:
    """An empty broker. On a server that TEST_RABBITMQ_URL names, `capataz.submit` and
    `capataz.refused` are emptied too, by one test at a time."""
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
    with _alone(), made.producer() as producer:
        producer.empty()
        yield made


@contextmanager
def _alone() -> Iterator[None]:
    if VARIABLE not in os.environ:
        yield
        return
    with (Path(tempfile.gettempdir()) / "capataz-tests-intake.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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

"""What is particular to orders that arrive by NATS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from database import Database
from manager.intake.duty import Intake
from manager.intake.mailbox import Message
from manager.intake.nats import NatsMailbox
from manager.transports.base import TransportDown
from manager.transports.nats_aside import CUT
from manager.transports.nats_link import NatsLink
from tests.intake.conftest import SETTINGS
from tests.intake.producers import NatsProducer
from tests.intake.test_intake import ADD, made, until
from tests.servers.nats import Nats


@pytest.fixture
def mailbox(nats: Nats) -> Iterator[NatsMailbox]:
    found = NatsMailbox(NatsLink(nats.url, "the intake"))
    found.receive(1, 0)
    yield found
    found.close()


@pytest.fixture
def producer(nats: Nats, mailbox: NatsMailbox) -> Iterator[NatsProducer]:
    with NatsProducer(nats.url) as found:
        yield found


def intake_on(database: Database, mailbox: NatsMailbox) -> Intake:
    return Intake(
        SETTINGS, database, "m1", mailbox, lambda: None, wait_seconds=0.1, away_seconds=0.1
    )


def test_without_an_id_its_place_names_a_message(
    database: Database, mailbox: NatsMailbox, producer: NatsProducer
) -> None:
    intake = intake_on(database, mailbox)
    for _ in range(2):
        producer.publish(ADD)
    until(intake, lambda: producer.waiting() == 0, "both are done with")
    assert made(database) == 2
    assert producer.publish(ADD, "once")
    assert not producer.publish(ADD, "once"), "the stream knows it"


def test_one_without_room_for_the_reason_is_cut(
    database: Database, mailbox: NatsMailbox, producer: NatsProducer
) -> None:
    producer.publish(b"x" * ((1 << 20) - 100))
    intake_on(database, mailbox).tick()
    headers, kept = producer.put_aside()
    assert CUT in headers
    assert set(kept) == {ord("x")}


def test_answers_go_nowhere_but_to_producers(mailbox: NatsMailbox, producer: NatsProducer) -> None:
    for place in ("$JS.API.STREAM.DELETE.CAPATAZ_SUBMIT", "capataz.submit", "a.>", "a b"):
        message = Message(b"", "k", "Nats-Msg-Id", place)
        mailbox.answer(message, {"id": "x"})
    assert producer.waiting() == 0


def test_a_broker_that_loses_everything_is_set_up_again(database: Database) -> None:
    with Nats() as server:
        box = NatsMailbox(NatsLink(server.url, "the intake"))
        box.receive(1, 0)
        intake = intake_on(database, box)
        with NatsProducer(server.url) as producer:
            producer.publish(ADD, "before")
            intake.tick()
            server.kill()
            intake.tick()  # says so, and raises nothing
            server.wipe()
            server.start()
            until(intake, lambda: _published(producer), "the streams are there again")
            until(intake, lambda: made(database) == 2, "orders arrive again")
        intake.close()


def _published(producer: NatsProducer) -> bool:
    try:
        return producer.publish(ADD, "after") or True
    except TransportDown:
        return False

"""Orders that arrive by NATS: each message makes one order, by the rules of HTTP."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient

import ledger
from api import create_app
from api.services import services
from database import Database, DatabaseAway, Sql
from ledger import KeyReused
from manager.intake.duty import Intake
from manager.intake.mailbox import Message
from manager.intake.nats import NatsMailbox
from manager.transports.base import TransportDown
from manager.transports.nats_aside import CUT, REASON, REFUSED_STREAM
from manager.transports.nats_link import NatsLink
from settings import Settings
from tests.ledger import evidence
from tests.manager.by_hand import Unlucky
from tests.manager.mail import Producer
from tests.servers.nats import Nats
from tests.support import wait_until

ADD = {"type": "add", "payload": {"num1": 1, "num2": 2}}
ORDERS = Sql("SELECT id FROM job_order")
EVENT = Sql("SELECT data FROM event WHERE kind = 'messages_refused' ORDER BY id")
SETTINGS = Settings()

BAD: dict[str, Any] = {
    "no JSON": b"{",
    "a field twice": b'{"type": "add", "type": "add", "payload": {}}',
    "a list": [ADD],
    "no type": {"payload": {}},
    "unknown type": ADD | {"type": "nothing"},
    "unknown field": ADD | {"colour": "red"},
    "bad payload": ADD | {"payload": {"num1": "x"}},
    "bad fields": ADD | {"priority": "urgent", "delay": -1, "queue": "a b", "tags": [""]},
    "two times": ADD | {"delay": 1, "runAt": "2030-01-01T00:00:00Z"},
    "webhook": ADD | {"type": "webhook"},
    "vast numbers": b'{"type": "add", "payload": {"num1": 1e999999, "num2": 1e999999}}',
}


class Deaf(NatsMailbox):
    """Loses its connection when it should say that messages are done with."""

    deaf = 0

    def accept(self, messages: Sequence[Message]) -> None:
        if self.deaf:
            self.deaf -= 1
            super().later(messages, 0)
            raise TransportDown("cut off by the test")
        super().accept(messages)


def intake_on(database: Database, server: Nats, mailbox: type[NatsMailbox] = NatsMailbox) -> Intake:
    box = mailbox(NatsLink(server.url, "the intake"))
    return Intake(SETTINGS, database, "m1", box, lambda: None, wait_seconds=0.1, away_seconds=0.1)


@pytest.fixture
def client(unlucky: Unlucky) -> Iterator[FlaskClient]:
    application = create_app(SETTINGS, unlucky)
    yield application.test_client()
    services(application).close()


@pytest.fixture
def intake(unlucky: Unlucky, nats: Nats) -> Iterator[Intake]:
    made = intake_on(unlucky, nats)
    made._mailbox.receive(1, 0)  # makes the streams
    yield made
    made.close()


@pytest.fixture
def producer(nats: Nats, intake: Intake) -> Iterator[Producer]:
    with Producer(nats.url) as made:
        yield made


def until(intake: Intake, fact: Callable[[], object], what: str) -> None:
    """Let the intake work until this holds."""

    def ticked() -> object:
        intake.tick()
        return fact()

    wait_until(ticked, what)


def made(database: Database) -> int:
    return len(database.read(ORDERS))


def test_a_message_makes_an_order(unlucky: Unlucky, intake: Intake, producer: Producer) -> None:
    body = ADD | {"queue": "sums", "priority": "high", "tags": ["a"], "maxAttempts": 7}
    producer.publish(body, "order-4711", answered=True)
    intake.tick()
    headers, answer = producer.heard()
    row = ledger.find(unlucky, answer["id"])
    assert (row.type, row.queue, row.priority, row.max_attempts) == ("add", "sums", 1, 7)
    assert json.loads(row.payload) == {"num1": 1, "num2": 2}
    assert headers["Correlation-Id"] == "order-4711"
    wait_until(lambda: producer.waiting() == 0, "it is done with")


def test_a_message_that_comes_again_makes_no_other(unlucky: Unlucky, nats: Nats) -> None:
    intake = intake_on(unlucky, nats, Deaf)
    mailbox = intake._mailbox
    assert isinstance(mailbox, Deaf)
    mailbox.receive(1, 0)
    with Producer(nats.url) as producer:
        assert producer.publish(ADD, "once", answered=True)
        assert not producer.publish(ADD, "once")
        producer.publish(ADD, answered=True)
        mailbox.deaf = 2
        until(intake, lambda: producer.waiting() == 0, "both are done with")
        answers = [producer.heard()[1]["id"] for _ in range(4)]
    assert mailbox.deaf == 0
    assert len(set(answers)) == 2
    assert made(unlucky) == 2
    intake.close()


def test_the_id_of_a_message_is_the_key_of_a_submit(
    client: FlaskClient, unlucky: Unlucky, intake: Intake, producer: Producer
) -> None:
    keyed = {"Idempotency-Key": "k"}
    first = client.post("/api/v1/jobs", json=ADD, headers=keyed).json
    producer.publish(ADD, "k", answered=True)
    intake.tick()
    assert first is not None
    assert producer.heard()[1] == {"id": first["jobId"]}
    producer.publish(ADD | {"priority": "low"}, '"k"', answered=True)
    intake.tick()
    assert producer.heard()[1]["detail"] == KeyReused.__doc__
    assert made(unlucky) == 1


def test_what_http_refuses_is_refused_in_the_same_words(
    client: FlaskClient, unlucky: Unlucky, intake: Intake, producer: Producer
) -> None:
    for name, body in BAD.items():
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post("/api/v1/jobs", data=data, content_type="application/json").json
        assert answer is not None
        producer.publish(data, name, answered=True)
        intake.tick()
        _, told = producer.heard()
        assert told == {"detail": answer["detail"], "errors": answer["errors"]}, name
        headers, kept = producer.refused()
        assert headers[REASON].startswith(answer["detail"]), name
        assert kept == data
    assert made(unlucky) == 0
    wait_until(lambda: producer.waiting() == 0)
    events = [json.loads(data) for (data,) in unlucky.read(EVENT)]
    assert [one["messages"][0]["message"] for one in events] == list(BAD)
    assert {one["via"] for one in events} == {"nats"}
    shown = client.get("/api/v1/events?kind=messages_refused").json["items"]  # type: ignore[index]
    assert shown[0]["description"].startswith("a message by nats made no order: ")


def test_a_bad_message_harms_no_other(unlucky: Unlucky, intake: Intake, producer: Producer) -> None:
    producer.publish(b"x" * 1_048_000, "large")
    producer.publish(ADD, "key\u00e9")
    for number in range(3):
        producer.publish(ADD, f"good-{number}")
    intake.tick()
    assert made(unlucky) == 3
    assert producer.waiting(REFUSED_STREAM) == 2
    told = [one for (data,) in unlucky.read(EVENT) for one in json.loads(data)["messages"]]
    assert {one["message"] for one in told} == {"large", "key\u00e9"}
    assert "1 to 255 printable ASCII" in "".join(one["reason"] for one in told)


def test_one_without_room_for_the_reason_is_cut(intake: Intake, producer: Producer) -> None:
    producer.publish(b"x" * ((1 << 20) - 100))
    intake.tick()
    headers, kept = producer.refused()
    assert CUT in headers
    assert set(kept) == {ord("x")}


def test_while_the_database_is_away_messages_wait(
    unlucky: Unlucky, intake: Intake, producer: Producer
) -> None:
    producer.publish(ADD, "a", answered=True)
    unlucky.refused = 2  # a submit that nobody answered is tried twice
    with pytest.raises(DatabaseAway):
        intake.tick()
    unlucky.refused = 0
    assert producer.waiting() == 1
    until(intake, lambda: made(unlucky), "the order is made")
    producer.publish({}, "b")
    unlucky.refused = 1
    with pytest.raises(DatabaseAway):
        until(intake, lambda: False, "it is noticed")
    until(intake, lambda: producer.waiting() == 0, "the bad one is put aside")
    unlucky.unanswered = 1
    producer.publish(ADD, "c")
    until(intake, lambda: producer.waiting() == 0, "the commit is asked after")
    assert made(unlucky) == 2


def test_what_the_ledger_cannot_store_is_put_aside_in_the_end(
    unlucky: Unlucky, intake: Intake, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = ledger.submit

    def broken(database: Database, requests: Sequence[ledger.Request]) -> list[ledger.Receipt]:
        if any(request.key == "cursed" for request in requests):
            raise ZeroDivisionError
        return submit(database, requests)

    monkeypatch.setattr(ledger, "submit", broken)
    producer.publish(ADD, "cursed", answered=True)
    producer.publish(ADD, "blessed")
    until(intake, lambda: producer.waiting() == 0, "both are done with")
    assert made(unlucky) == 1
    assert "ZeroDivisionError" in producer.heard()[1]["detail"]


def test_answers_go_nowhere_but_to_producers(intake: Intake, producer: Producer) -> None:
    for place in ("$JS.API.STREAM.DELETE.CAPATAZ_SUBMIT", "capataz.submit", "a.>", "a b"):
        message = Message(b"", "k", "Nats-Msg-Id", place)
        intake._mailbox.answer(message, {"id": "x"})
    assert producer.waiting() == 0


def test_a_broker_that_loses_everything_is_set_up_again(database: Database) -> None:
    with Nats() as server:
        intake = intake_on(database, server)
        intake._mailbox.receive(1, 0)
        with Producer(server.url) as producer:
            producer.publish(ADD, "before")
            intake.tick()
            server.kill()
            intake.tick()  # says so, and raises nothing
            server.wipe()
            server.start()
            until(intake, lambda: _published(producer), "the streams are there again")
            until(intake, lambda: made(database) == 2, "orders arrive again")
        intake.close()


def _published(producer: Producer) -> bool:
    try:
        return producer.publish(ADD, "after") or True
    except TransportDown:
        return False


def test_many_managers_and_messages_that_come_twice(database_url: str, nats: Nats) -> None:
    """Each of 300 messages comes twice, in whatever order, and three managers take them."""
    databases = [Database(database_url) for _ in range(3)]
    intakes = [intake_on(one, nats, Deaf) for one in databases]
    intakes[0]._mailbox.receive(1, 0)
    for one in intakes:
        one._mailbox.deaf = 2  # type: ignore[attr-defined]
    keys = [f"k{number}" for number in range(300)]
    chance = random.Random(1)
    with Producer(nats.url) as producer:
        for key in chance.sample(keys, len(keys)) + chance.sample(keys, len(keys)):
            # A space more is another message for the broker, and the same key for us.
            producer.publish(ADD, key if chance.random() < 0.5 else f'"{key}"')

        def work(intake: Intake) -> None:
            until(intake, lambda: producer.waiting() == 0, "all are done with")

        threads = [threading.Thread(target=work, args=(one,)) for one in intakes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert evidence.counted(databases[0]) == {"pending": 300}
    for intake, opened in zip(intakes, databases, strict=True):
        intake.close()
        opened.close()

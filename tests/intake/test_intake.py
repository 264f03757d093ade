"""Orders that arrive by a broker: each message makes one order, by the rules of HTTP."""

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
from manager.intake.mailbox import Mailbox, Message
from manager.transports.base import TransportDown
from tests.intake.conftest import SETTINGS, Broker
from tests.intake.producers import Producer
from tests.ledger import evidence
from tests.manager.by_hand import Unlucky
from tests.support import wait_until

ADD = {"type": "add", "payload": {"num1": 1, "num2": 2}}
ORDERS = Sql("SELECT id FROM job_order")
EVENT = Sql("SELECT data FROM event WHERE kind = 'messages_refused' ORDER BY id")

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


class Deaf:
    """A mailbox that loses its connection when it should say that messages are done with."""

    def __init__(self, mailbox: Mailbox, times: int) -> None:
        self._mailbox = mailbox
        self.times = times

    def accept(self, messages: Sequence[Message]) -> None:
        if self.times and messages:
            self.times -= 1
            self._mailbox.later(messages, 0)
            raise TransportDown("cut off by the test")
        self._mailbox.accept(messages)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)


@pytest.fixture
def client(unlucky: Unlucky) -> Iterator[FlaskClient]:
    application = create_app(SETTINGS, unlucky)
    yield application.test_client()
    services(application).close()


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
    to, answer = producer.heard()
    row = ledger.find(unlucky, answer["id"])
    assert (row.type, row.queue, row.priority, row.max_attempts) == ("add", "sums", 1, 7)
    assert json.loads(row.payload) == {"num1": 1, "num2": 2}
    assert to == "order-4711"
    wait_until(lambda: producer.waiting() == 0, "it is done with")


def test_a_message_that_comes_again_makes_no_other(unlucky: Unlucky, broker: Broker) -> None:
    deaf = Deaf(broker.mailbox(), 2)
    intake = broker.intake(unlucky, deaf)
    with broker.producer() as producer:
        producer.publish(ADD, "once", answered=True)
        answers = set()
        for _ in range(3):
            until(intake, producer.hears, "it is answered again")
            answers.add(producer.heard()[1]["id"])
        until(intake, lambda: producer.waiting() == 0, "it is done with")
    assert len(answers) == 1
    assert made(unlucky) == 1
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
    client: FlaskClient, unlucky: Unlucky, broker: Broker, intake: Intake, producer: Producer
) -> None:
    for name, body in BAD.items():
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post("/api/v1/jobs", data=data, content_type="application/json").json
        assert answer is not None
        producer.publish(data, name, answered=True)
        intake.tick()
        _, told = producer.heard()
        assert told == {"detail": answer["detail"], "errors": answer["errors"]}, name
        reason, kept = producer.refused()
        assert reason.startswith(answer["detail"]), name
        assert kept == data
    assert made(unlucky) == 0
    wait_until(lambda: producer.waiting() == 0)
    events = [json.loads(data) for (data,) in unlucky.read(EVENT)]
    assert [one["messages"][0]["message"] for one in events] == list(BAD)
    assert {one["via"] for one in events} == {broker.name}
    shown = client.get("/api/v1/events?kind=messages_refused").json["items"]  # type: ignore[index]
    assert shown[0]["description"].startswith(f"a message by {broker.name} made no order: ")


def test_a_bad_message_harms_no_other(unlucky: Unlucky, intake: Intake, producer: Producer) -> None:
    producer.publish(b"x" * 1_048_000, "large")
    producer.publish(ADD, "key\u00e9")
    for number in range(3):
        producer.publish(ADD, f"good-{number}")
    intake.tick()
    assert made(unlucky) == 3
    assert producer.set_aside() == 2
    told = [one for (data,) in unlucky.read(EVENT) for one in json.loads(data)["messages"]]
    assert {one["message"] for one in told} == {"large", "key\u00e9"}
    assert "1 to 255 printable ASCII" in "".join(one["reason"] for one in told)


def test_while_the_database_is_away_messages_wait(
    unlucky: Unlucky, intake: Intake, producer: Producer
) -> None:
    producer.publish(ADD, "a", answered=True)
    unlucky.refused = 2  # a submit that nobody answered is tried twice
    with pytest.raises(DatabaseAway):
        intake.tick()
    unlucky.refused = 0
    assert made(unlucky) == 0
    until(intake, lambda: made(unlucky), "the order is made")
    producer.publish({}, "b")
    unlucky.refused = 1
    with pytest.raises(DatabaseAway):
        until(intake, lambda: False, "it is noticed")
    until(intake, lambda: producer.set_aside() == 1, "the bad one is put aside")
    unlucky.unanswered = 1
    producer.publish(ADD, "c")
    until(intake, lambda: made(unlucky) == 2, "the commit is asked after")
    assert made(unlucky) == 2, "and no more"


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
    until(intake, lambda: producer.set_aside() == 1, "one is put aside")
    assert made(unlucky) == 1
    assert "ZeroDivisionError" in producer.heard()[1]["detail"]


def test_many_managers_and_messages_that_come_twice(database_url: str, broker: Broker) -> None:
    """Each of 200 messages comes twice, in whatever order, and three managers take them."""
    databases = [Database(database_url) for _ in range(3)]
    intakes = [broker.intake(one, Deaf(broker.mailbox(), 2)) for one in databases]
    keys = [f"k{number}" for number in range(200)]
    chance = random.Random(1)
    with broker.producer() as producer:
        for key in chance.sample(keys, len(keys)) + chance.sample(keys, len(keys)):
            # With quotes it is another message for the broker, and the same key for us.
            producer.publish(ADD, key if chance.random() < 0.5 else f'"{key}"')

    def work(intake: Intake, database: Database) -> None:
        until(intake, lambda: made(database) == len(keys), "all are made")

    pairs = list(zip(intakes, databases, strict=True))
    threads = [threading.Thread(target=work, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for intake, _ in pairs:
        until(intake, lambda: True, "what is left is done with")
        intake.close()
    assert evidence.counted(databases[0]) == {"pending": len(keys)}
    for opened in databases:
        opened.close()

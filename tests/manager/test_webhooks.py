"""`callbackUrl`: each end of an order is told once, signed, by an order of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

import ledger
from database import Database, DatabaseAway, Sql
from jobs import outbound
from ledger.submit import insert
from models import CANCELLED, COMPLETED, FAILED, PENDING
from tests import factories
from tests.ledger import evidence
from tests.manager.by_hand import ByHand
from tests.receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DELIVERIES = Sql("SELECT payload, owner, queue, status FROM job_order WHERE type = 'webhook'")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(outbound._told, "values", None)
    outbound.configure(SECRET, ("127.0.0.0/8",))
    with receiving() as one:
        yield one


def told(database: Database) -> list[tuple[str, str]]:
    """Of which orders, and what, deliveries are to tell."""
    documents = [json.loads(row[0]) for row in database.read(DELIVERIES)]
    return sorted((one["job_id"], one["status"]) for one in documents)


def test_a_delivery_is_what_the_standard_asks_for(database: Database, receiver: Receiver) -> None:
    order = factories.submit(database, callback_url=receiver.url, owner="me")
    hand = ByHand(database)
    hand.work_off()
    assert ledger.find(database, order).status == COMPLETED
    assert [row[1:] for row in database.read(DELIVERIES)] == [("me", "default", PENDING)]
    hand.work_off()
    (got,) = receiver.got
    document = Webhook(SECRET).verify(got.body, got.headers)
    assert document["type"] == "job.completed"
    assert document["data"] == {"jobId": order, "type": "add", "status": COMPLETED}
    assert document["timestamp"].endswith("Z")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body + b" ", got.headers)
    assert evidence.counted(database) == {COMPLETED: 2}
    hand.work_off()
    assert len(receiver.got) == 1


def test_a_delivery_that_fails_is_tried_again_with_the_same_id(
    database: Database, receiver: Receiver
) -> None:
    factories.submit(database, callback_url=receiver.url)
    hand = ByHand(database)
    receiver.status = 500
    hand.work_off()
    hand.work_off()
    assert evidence.counted(database) == {COMPLETED: 1, PENDING: 1}
    due = Sql("UPDATE job_order SET run_at = created_on WHERE status = 'pending'")
    database.write(lambda tx: tx.run(due))
    receiver.status = 200
    hand.work_off()
    assert evidence.counted(database) == {COMPLETED: 2}
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_every_end_is_told_and_nothing_else(database: Database) -> None:
    url = "https://example.com/hook"
    ids = [factories.submit(database, callback_url=url) for _ in range(6)]
    factories.submit(database)
    done, failed, again, crashed, cancelled, many, silent = sorted(
        factories.claim(database, free=7), key=lambda one: (*ids, one.id).index(one.id)
    )
    ends = [
        factories.ending(done),
        factories.ending(failed, FAILED),
        factories.ending(again, PENDING),
        factories.ending(silent),
    ]
    ledger.finish(database, factories.MANAGER, ends)
    ledger.cancel(database, cancelled.id)
    ledger.cancel_many(database, [many.id])
    factories.make_stale(database, crashed.id)
    ledger.rescue(database, 30_000, max_crashes=1)
    expected = [
        (done.id, COMPLETED),
        (failed.id, FAILED),
        (crashed.id, FAILED),
        (cancelled.id, CANCELLED),
        (many.id, CANCELLED),
    ]
    assert told(database) == sorted(expected)
    ledger.finish(database, factories.MANAGER, ends)  # late: nothing ends twice
    ledger.cancel(database, again.id)
    assert told(database) == sorted([*expected, (again.id, CANCELLED)])
    ledger.retry(database, cancelled.id)
    ledger.cancel(database, cancelled.id)
    assert told(database).count((cancelled.id, CANCELLED)) == 2


def test_an_end_that_is_not_committed_is_not_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = factories.submit(database, callback_url="https://example.com/hook")
    (claimed,) = factories.claim(database)

    def away(*given: Any) -> None:
        insert(*given)
        raise DatabaseAway("gone")

    monkeypatch.setattr("ledger.callbacks.insert", away)
    with pytest.raises(DatabaseAway):
        ledger.finish(database, factories.MANAGER, [factories.ending(claimed)])
    assert (ledger.find(database, order).status, told(database)) == ("wip", [])

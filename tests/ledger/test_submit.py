"""Submitting: what a new order looks like, all or none, and idempotency keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import apsw
import psycopg
import pytest

import ledger
from database import Database, DatabaseAway, Sql, Transaction
from ledger import KeyReused, KeySpent, NewOrder, Receipt, Request
from models import CANCELLED, COMPLETED, PENDING
from tests.factories import new_order, order_in, submit
from tests.ledger import evidence

DAY = 24 * 3_600_000
BODY, OTHER_BODY = b"body", b"other body"
BROKEN = (apsw.ConstraintError, psycopg.IntegrityError)

AGE_KEYS = Sql("UPDATE idempotency SET created_on = created_on - :ms")


def request(*orders: NewOrder, key: str | None = "key", **fields: Any) -> Request:
    return Request(list(orders) or [new_order()], key=key, **({"digest": BODY} | fields))


def send(database: Database, *requests: Request) -> list[Receipt]:
    return ledger.submit(database, requests)


def age_keys(database: Database, ms: int) -> None:
    database.write(lambda transaction: transaction.run(AGE_KEYS, {"ms": ms}))


def test_a_new_order_is_pending_and_due_now(database: Database) -> None:
    before = int(time.time() * 1000)
    order = new_order(queue="mail", priority=1, owner="ann", tags='["a"]', callback_url="http://x")
    (receipt,) = send(database, Request([order]))
    after = int(time.time() * 1000)
    assert (receipt.ids, receipt.replayed, receipt.refusal) == ([order.id], False, None)
    found = ledger.find(database, order.id)
    assert (found.status, found.attempts, found.crashes, found.lease) == (PENDING, 0, 0, 0)
    assert (found.queue, found.priority, found.owner) == ("mail", 1, "ann")
    assert (found.tags, found.callback_url) == ('["a"]', "http://x")
    assert (found.max_attempts, found.timeout_ms, found.max_silence_ms) == (3, 3_600_000, None)
    assert before - 1 <= found.created_on <= after + 1
    assert found.created_on == found.run_at == found.last_updated
    for name in ("started_on", "completed_on", "result", "worker"):
        assert getattr(found, name) is None, name


def test_every_field_arrives(database: Database) -> None:
    model = submit(database)
    order = new_order(
        type="resize",
        payload="[]",
        queue="images",
        priority=3,
        max_attempts=7,
        timeout_ms=1,
        max_silence_ms=2,
        run_at=3,
        owner="ö",
        tags="[]",
        callback_url="c",
        copy_of=model,
        schedule="nightly",
        project="p",
        sandbox="strict",
    )
    send(database, Request([order]))
    found = ledger.find(database, order.id)
    for name in (slot for slot in NewOrder.__slots__ if slot != "delay_ms"):
        assert getattr(found, name) == getattr(order, name), name


def test_due_times_are_absolute_or_from_now_on(database: Database) -> None:
    later = ledger.find(database, submit(database, delay_ms=90_000))
    assert later.run_at - later.created_on == 90_000
    at = later.created_on + 3_600_000
    assert ledger.find(database, submit(database, run_at=at)).run_at == at


@pytest.mark.parametrize("run_at", [-62_135_596_800_000, 0, 123_456])
def test_what_was_due_before_it_was_made_is_due_when_it_is_made(
    database: Database, run_at: int
) -> None:
    orders = [new_order(run_at=run_at), new_order(), new_order(run_at=run_at + 1)]
    send(database, Request(orders))
    rows = [ledger.find(database, order.id) for order in orders]
    assert all(row.run_at == row.created_on for row in rows)


def test_the_order_of_a_schedule_is_due_at_its_fire_although_it_is_made_later(
    database: Database,
) -> None:
    order = submit(database, run_at=123_456, schedule="nightly")
    assert ledger.find(database, order).run_at == 123_456


@pytest.mark.parametrize(
    "payload",
    [
        '{"b":1,  "a":1.10, "a":12345678901234567890123}',
        '{"text":"\\u0000 \\ud800 \\\\ \' % %s :name é 💡"}',
        '{"d":"' + "x" * 900_000 + '"}',
    ],
    ids=["numbers", "text", "large"],
)
def test_a_payload_is_never_rewritten(database: Database, payload: str) -> None:
    assert ledger.find(database, submit(database, payload=payload)).payload == payload


def test_one_batch_leaves_one_event_and_one_tally_a_type(database: Database) -> None:
    orders = [new_order(type=kind, queue="q") for kind in ("add", "sleep", "add")]
    assert send(database, Request(orders))[0].ids == [order.id for order in orders]
    assert evidence.events(database) == [("submitted", [o.id for o in orders], None, {})]
    assert [row[:5] for row in evidence.tallies(database)] == [
        ("q", "add", "", "pending", 2),
        ("q", "sleep", "", "pending", 1),
    ]
    assert [queue.name for queue in ledger.queues(database)] == ["q"]


def test_a_repeat_gets_the_first_answer(database: Database) -> None:
    first = request(new_order(), new_order())
    (accepted,) = send(database, first)
    seen = evidence.orders(database), evidence.tallies(database), evidence.events(database)
    (again,) = send(database, request(new_order(), new_order()))
    assert (again.ids, again.replayed, again.refusal) == (accepted.ids, True, None)
    assert seen == (
        evidence.orders(database),
        evidence.tallies(database),
        evidence.events(database),
    )


def test_a_repeat_is_answered_whatever_became_of_the_order(database: Database) -> None:
    (first,) = send(database, request())
    ledger.cancel(database, first.ids[0])
    assert send(database, request())[0].ids == first.ids
    assert ledger.find(database, first.ids[0]).status == CANCELLED


def test_another_body_under_a_used_key_is_refused_and_harms_nobody(database: Database) -> None:
    (first,) = send(database, request())
    refused, good = send(database, request(digest=OTHER_BODY), request(key=None))
    assert isinstance(refused.refusal, KeyReused)
    assert (refused.ids, refused.replayed) == ([], False)
    assert good.refusal is None
    assert set(evidence.counted(database).values()) == {2}
    assert send(database, request())[0].ids == first.ids, "the key still stands for the first"


def test_owners_do_not_share_keys(database: Database) -> None:
    receipts = send(
        database, request(owner="ann"), request(owner="bob", digest=OTHER_BODY), request()
    )
    assert [(r.replayed, r.refusal) for r in receipts] == [(False, None)] * 3
    assert len({r.ids[0] for r in receipts}) == 3


def test_a_key_lives_for_24_hours(database: Database) -> None:
    (first,) = send(database, request())
    age_keys(database, DAY - 60_000)
    assert send(database, request())[0].replayed
    age_keys(database, 60_001)
    (second,) = send(database, request(digest=OTHER_BODY))
    assert (second.replayed, second.refusal) == (False, None)
    assert second.ids != first.ids
    (replay,) = send(database, request(digest=OTHER_BODY))
    assert (replay.ids, replay.replayed) == (second.ids, True), "a new day began"


def test_a_deleted_order_keeps_its_key(database: Database) -> None:
    (first,) = send(database, request(new_order(), new_order()))
    ledger.cancel(database, first.ids[0])
    ledger.delete(database, first.ids[0])
    rows = evidence.orders(database)
    (spent,) = send(database, request(new_order(), new_order()))
    assert isinstance(spent.refusal, KeySpent)
    assert evidence.orders(database) == rows


def test_a_bulk_is_all_or_none(database: Database) -> None:
    there = order_in(database, COMPLETED)
    before = evidence.orders(database), evidence.tallies(database), evidence.events(database)
    with pytest.raises(BROKEN):
        send(database, request(new_order(), new_order(id=there.id), new_order()))
    assert before == (
        evidence.orders(database),
        evidence.tallies(database),
        evidence.events(database),
    )
    assert evidence.keys(database) == [], "a key is taken only together with its orders"


def test_a_key_twice_in_one_batch_is_a_repeat(database: Database) -> None:
    first, second = send(database, request(), request())
    assert (first.replayed, first.refusal) == (False, None)
    assert (second.replayed, second.refusal) == (True, None)
    assert second.ids == first.ids
    assert evidence.counted(database) == {PENDING: 1}


def test_a_key_twice_in_one_batch_with_another_body_is_refused(database: Database) -> None:
    first, second = send(database, request(), request(digest=OTHER_BODY))
    assert first.refusal is None
    assert isinstance(second.refusal, KeyReused)
    assert evidence.counted(database) == {PENDING: 1}


def test_twenty_threads_with_one_key_submit_one_order(database: Database) -> None:
    answers = evidence.at_once([lambda: send(database, request())[0]] * 20)
    assert [answer.refusal for answer in answers] == [None] * 20
    assert sum(not answer.replayed for answer in answers) == 1
    assert len({tuple(answer.ids) for answer in answers}) == 1
    assert evidence.counted(database) == evidence.levels(database) == {PENDING: 1}


def test_batches_that_share_keys_in_opposite_orders_all_end_well(database: Database) -> None:
    names = [f"key-{n}" for n in range(20)]

    def batch(keys: list[str]) -> list[Receipt]:
        return send(database, *(request(key=key) for key in keys))

    batches = [names, names[::-1]] * 4
    answers = evidence.at_once([lambda keys=keys: batch(keys) for keys in batches])  # type: ignore[misc]
    by_key: dict[str, set[str]] = {name: set() for name in names}
    for keys, receipts in zip(batches, answers, strict=True):
        for key, receipt in zip(keys, receipts, strict=True):
            by_key[key].update(receipt.ids)
    assert [len(ids) for ids in by_key.values()] == [1] * 20
    assert evidence.counted(database) == {PENDING: 20}


@pytest.mark.parametrize("took", [True, False])
@pytest.mark.parametrize("key", [None, "once"])
def test_a_commit_that_was_never_answered_is_asked_after(
    database: Database, monkeypatch: pytest.MonkeyPatch, took: bool, key: str | None
) -> None:
    """The real transaction runs (or does not), and its answer is lost on the way."""
    real, tries = database.write, []

    def cut(work: Callable[[Transaction], Any]) -> Any:
        tries.append(work)
        if len(tries) > 1 or took:
            answer = real(work)
        if len(tries) == 1:
            raise DatabaseAway("the answer was lost")
        return answer

    monkeypatch.setattr(database, "write", cut)
    orders = [new_order(), new_order()]
    (receipt,) = ledger.submit(database, [Request(orders, "", key, b"digest")])
    assert (receipt.ids, receipt.replayed) == ([order.id for order in orders], False)
    assert ledger.levels(database).by_status == {PENDING: 2}
    assert {ledger.find(database, order.id).status for order in orders} == {PENDING}

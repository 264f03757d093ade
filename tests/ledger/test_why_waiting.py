"""Staged troubles of orders that wait, each with its right answer."""

from __future__ import annotations

import threading

import pytest

import ledger
from database import Database, Sql
from ledger import Request, UnknownOrder
from ledger.why import Moment, explain
from models import COMPLETED
from tests import factories
from tests.ledger.troubles import (
    STALE_MS,
    WAITED,
    backdate,
    claimed_by,
    codes,
    manager,
    silence,
    told,
    worked_off,
)

LOCK = Sql("SELECT 1 FROM job_order WHERE id = :id FOR UPDATE")


def test_nothing_keeps_it(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    answer = explain(database, order)
    assert [one.code for one in answer.reasons] == ["about_to_run"]
    assert (answer.order_id, answer.status) == (order, "pending")
    assert answer.checked_on >= ledger.find(database, order).created_on


def test_a_paused_queue_and_everything_paused(database: Database) -> None:
    manager(database)
    order = factories.submit(database, queue="images")
    ledger.pause(database, "images")
    one = told(database, order, "queue_paused")
    assert one.remedy == "POST /api/v1/queues/images/resume"
    assert one.facts["queue"] == "images"
    assert isinstance(one.facts["since"], Moment)
    ledger.pause(database)
    assert codes(database, order) == ["all_paused", "queue_paused"]
    ledger.resume(database, "images")
    assert codes(database, order) == ["all_paused"]
    ledger.resume(database)
    assert codes(database, order) == ["about_to_run"]


def test_no_manager_was_ever_started(database: Database) -> None:
    order = factories.submit(database)
    assert "manage.py manager" in told(database, order, "no_manager").remedy


def test_no_manager_is_alive(database: Database) -> None:
    manager(database)
    manager(database, "m2")
    silence(database, "m1", STALE_MS + 1)
    ledger.retire(database, "m2", "told to")
    order = factories.submit(database)
    one = told(database, order, "no_manager")
    assert one.facts["last_manager"] == "m2"
    assert one.facts["state"] == "stopped"
    assert codes(database, order) == ["no_manager"]


def test_without_anybody_to_take_them_nothing_comes_before_it(database: Database) -> None:
    orders = [factories.submit(database) for _ in range(2)]
    assert codes(database, orders[1]) == ["no_manager"]
    manager(database)
    assert codes(database, orders[1]) == ["orders_ahead"]
    silence(database, "m1", 16_000)
    assert codes(database, orders[1]) == ["managers_silent"]


def test_nobody_serves_its_queue(database: Database) -> None:
    manager(database, queues="mail,images")
    manager(database, "m2", queues="mail")
    order = factories.submit(database, queue="films")
    assert codes(database, order) == ["queue_not_served"]
    assert told(database, order, "queue_not_served").facts["served"] == ["images", "mail"]
    assert codes(database, factories.submit(database, queue="mail")) == ["about_to_run"]


def test_nobody_who_serves_its_queue_knows_its_type(database: Database) -> None:
    manager(database, queues="mail", types="add,sleep")
    manager(database, "m2", queues="films", types="add,convert")
    manager(database, "m3", queues="mail", types="")
    order = factories.submit(database, queue="mail", type="convert")
    assert codes(database, order) == ["type_unknown"]
    assert told(database, order, "type_unknown").facts["managers"] == ["m1", "m3"]
    manager(database, "old", queues="mail")  # which does not tell its types
    assert codes(database, order) == ["about_to_run"]


def test_a_manager_did_not_know_its_type(database: Database) -> None:
    order = factories.submit(database, type="nowhere")
    worked_off(database)
    one = told(database, order, "handed_back_unknown_type")
    assert 25_000 < one.facts["due_in_ms"] <= 30_000
    assert "CAPATAZ_JOBS" in one.remedy
    assert codes(database, order) == ["handed_back_unknown_type"]


def test_it_is_to_run_later(database: Database) -> None:
    manager(database)
    order = factories.submit(database, delay_ms=7_200_000)
    one = told(database, order, "starts_later")
    assert "in 2 h" in one.message
    assert one.facts["due_on"] == ledger.find(database, order).run_at
    assert codes(database, order) == ["starts_later"]


def test_the_web_hosts_clock_was_another(database: Database) -> None:
    manager(database)
    ahead = int(ledger.new_id().replace("-", "")[:12], 16) + 60_000
    order_id = f"{ahead:012x}"[:8] + "-" + f"{ahead:012x}"[8:] + ledger.new_id()[13:]
    order = factories.submit(database, id=order_id, delay_ms=60_000)
    assert codes(database, order) == ["starts_later", "clocks_differ"]
    assert told(database, order, "clocks_differ").facts["web_ahead_ms"] > 55_000


def test_it_waits_after_an_error(database: Database) -> None:
    order = factories.submit(database, type="fail", payload='{"message":"boom","after":60}')
    worked_off(database)
    assert codes(database, order) == ["retry_backoff"]
    one = told(database, order, "retry_backoff")
    assert (one.facts["attempts"], one.facts["max_attempts"]) == (1, 3)
    assert (one.facts["error"], one.facts["error_message"]) == ("Retry", "boom")
    assert one.facts["due_on"] == ledger.find(database, order).run_at


def test_it_waits_after_a_crash_and_is_quarantined(database: Database) -> None:
    manager(database, "m2")
    order = factories.submit(database)
    assert claimed_by(database, "gone") == [order]
    factories.make_stale(database, order)
    (back,) = ledger.rescue(database, 1_000)
    assert back.id == order
    later = Sql("UPDATE job_order SET run_at = run_at + 5000 WHERE id = :id")
    database.write(lambda tx: tx.run(later, {"id": database.key(order)}))
    assert codes(database, order) == ["crash_backoff", "quarantined"]
    assert told(database, order, "crash_backoff").facts["crashes"] == 1
    backdate(database, WAITED, order, 10_000)
    assert codes(database, order) == ["not_taken", "quarantined"]


def test_others_come_before_it(database: Database) -> None:
    manager(database, slots=100)
    first = [factories.submit(database) for _ in range(3)]
    order = factories.submit(database)
    low = factories.submit(database, priority=3)
    factories.submit(database, delay_ms=3_600_000, priority=1)  # not due: before nobody
    assert told(database, order, "orders_ahead").facts["ahead"] == 3
    assert told(database, low, "orders_ahead").facts["ahead"] == 4
    assert "estimated_wait_ms" not in told(database, order, "orders_ahead").facts
    assert claimed_by(database, "m1") == first[:1]
    behind = told(database, order, "orders_ahead")
    assert behind.facts["ahead"] == 2
    assert behind.facts["estimated_wait_ms"] > 0
    assert codes(database, order) == ["orders_ahead"]


def test_others_of_a_higher_class_wait_elsewhere(database: Database) -> None:
    manager(database, queues="default,mail")
    order = factories.submit(database)
    for queue in ("mail", "films", "paused"):
        factories.submit(database, queue=queue, priority=1)
        factories.submit(database, queue=queue)
    ledger.pause(database, "paused")
    assert told(database, order, "orders_ahead").facts["ahead"] == 1


def test_beyond_a_thousand_it_is_not_counted(database: Database) -> None:
    manager(database)
    orders = [factories.new_order() for _ in range(1_002)]
    ids = ledger.submit(database, [Request(orders)])[0].ids
    assert told(database, ids[1000], "orders_ahead").facts["ahead"] == 1_000
    one = told(database, ids[1001], "orders_ahead")
    assert one.facts["ahead"] == "1000+"
    assert one.message.startswith("1000+ due orders come before it")


def test_all_workers_are_busy(database: Database) -> None:
    manager(database, slots=2)
    manager(database, "elsewhere", queues="mail", slots=5)
    running = [factories.submit(database, type="sleep") for _ in range(2)]
    assert claimed_by(database, "m1", 2) == running
    lease = ledger.Beat(running[1], 1, "m1/2", 90_000)
    assert ledger.renew(database, "m1", [lease]) == []
    order = factories.submit(database)
    assert codes(database, order) == ["workers_busy"]
    one = told(database, order, "workers_busy")
    assert one.facts["workers"] == 2
    (longest,) = one.facts["longest"]
    assert (longest["jobId"], longest["type"]) == (running[1], "sleep")
    assert (longest["worker"], longest["runningMs"] >= 90_000) == ("m1/2", True)
    manager(database, "m2")
    assert codes(database, order) == ["about_to_run"]


def test_those_that_could_take_it_are_stopping(database: Database) -> None:
    manager(database, state="draining")
    order = factories.submit(database)
    assert codes(database, order) == ["managers_stopping"]
    manager(database, "m2")
    assert codes(database, order) == ["about_to_run"]


def test_those_that_could_take_it_are_silent(database: Database) -> None:
    manager(database)
    silence(database, "m1", 15_000)
    order = factories.submit(database)
    one = told(database, order, "managers_silent")
    assert one.facts["silent_ms"] >= 15_000


def test_nothing_keeps_it_and_yet_it_is_not_taken(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    backdate(database, WAITED, order, 60_000)
    one = told(database, order, "not_taken")
    assert one.facts["due_for_ms"] >= 60_000


def test_one_that_was_due_before_it_was_made_waits_since_then(database: Database) -> None:
    manager(database)
    order = factories.submit(database, run_at=-62_135_596_800_000, schedule="nightly")
    one = told(database, order, "about_to_run")
    assert one.facts["due_for_ms"] < 60_000


def test_somebody_keeps_its_row_locked(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    backdate(database, WAITED, order, 60_000)
    if database.dialect == "sqlite":  # where no row can be
        assert codes(database, order) == ["not_taken"]
        return
    locked, answered = threading.Event(), threading.Event()

    def keep() -> None:
        def work(transaction: object) -> None:
            transaction.rows(LOCK, {"id": order})  # type: ignore[attr-defined]
            locked.set()
            answered.wait(20)

        database.write(work)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        assert locked.wait(20)
        assert codes(database, order) == ["row_locked"]
    finally:
        answered.set()
        keeper.join()
    assert codes(database, order) == ["not_taken"]


def test_an_order_that_is_gone_is_unknown(database: Database) -> None:
    row = factories.order_in(database, COMPLETED)
    ledger.delete(database, row.id)
    for order in (row.id, ledger.new_id()):
        with pytest.raises(UnknownOrder):
            explain(database, order)


def test_asking_changes_nothing(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    before = ledger.find(database, order)
    explain(database, order)
    assert ledger.find(database, order) == before
    assert claimed_by(database, "m1") == [order]

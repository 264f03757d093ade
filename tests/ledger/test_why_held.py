"""Staged troubles of orders in hand, and why those that ended did."""

from __future__ import annotations

import json

import ledger
from database import Database, Sql
from ledger.why import explain
from ledger.workers import WorkerReport, report_workers
from models import CANCELLED, COMPLETED, FAILED, RETRIEVED
from tests import factories
from tests.ledger.troubles import (
    BEGAN,
    FORGET,
    STALE_MS,
    UNTOUCHED,
    backdate,
    claimed_by,
    codes,
    manager,
    silence,
    told,
    worked_off,
)
from tests.manager.by_hand import ByHand


def begun(database: Database, name: str = "m1", **columns: object) -> str:
    """An order that a worker of this manager has just begun, and said it is half done."""
    order = factories.submit(database, **columns)
    assert claimed_by(database, name) == [order]
    progress = json.dumps({"percent": 50.0})
    assert ledger.renew(database, name, [ledger.Beat(order, 1, f"{name}/1", 0, progress)]) == []
    return order


def test_it_has_not_begun(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    claimed_by(database, "m1")
    assert codes(database, order) == ["claimed"]
    assert told(database, order, "claimed").facts["manager"] == "m1"
    in_hand(database, order, "busy")  # which its manager tells before it says since when
    assert codes(database, order) == ["running"]
    assert told(database, order, "running").facts["worker"] == "m1/1"


def test_it_runs(database: Database) -> None:
    manager(database)
    order = begun(database)
    one = told(database, order, "running")
    assert codes(database, order) == ["running"]
    assert (one.facts["worker"], one.facts["lease"], one.facts["attempt"]) == ("m1/1", 1, 1)
    assert one.facts["percent"] == 50
    assert one.facts["proof"] == "none"
    row = ledger.find(database, order)
    assert one.facts["last_sign_of_life"] == row.last_updated
    assert one.facts["deadline"] == (row.started_on or 0) + row.timeout_ms


def test_its_holder_is_silent(database: Database) -> None:
    manager(database)
    manager(database, "m2")
    order = begun(database)
    backdate(database, UNTOUCHED, order, 12_000)
    silence(database, "m1", 16_000)
    assert codes(database, order) == ["holder_silent", "running"]
    one = told(database, order, "holder_silent")
    assert one.facts["silent_ms"] >= 12_000
    assert one.facts["taken_back_on"] == ledger.find(database, order).last_updated + STALE_MS


def test_its_holder_beats_but_could_not_renew_it(database: Database) -> None:
    manager(database)
    order = begun(database)
    backdate(database, UNTOUCHED, order, 2 * STALE_MS)
    assert codes(database, order) == ["row_locked", "running"]
    assert "beats, but could not renew it" in told(database, order, "row_locked").message


def test_right_after_a_death_without_survivors_the_reasons_agree(database: Database) -> None:
    manager(database)
    manager(database, "m2")
    order = begun(database)
    for name in ("m1", "m2"):
        silence(database, name, 16_000)
    backdate(database, UNTOUCHED, order, 16_000)
    assert codes(database, order) == ["holder_silent", "no_rescuer", "running"]
    silent = told(database, order, "holder_silent")
    assert "taken back" not in silent.message
    assert "wait" not in silent.remedy
    assert "taken_back_on" not in silent.facts
    assert "when it was last heard of, 16 s ago" in told(database, order, "running").message
    manager(database, "m3")
    assert codes(database, order) == ["holder_silent", "running"]
    assert "taken back in 14 s" in told(database, order, "holder_silent").message


def test_what_was_claimed_before_a_death_may_have_begun(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    claimed_by(database, "m1")
    backdate(database, UNTOUCHED, order, 16_000)
    silence(database, "m1", 16_000)
    in_hand(database, order, "busy")
    assert codes(database, order) == ["holder_silent", "no_rescuer", "claimed"]
    assert "whether it began is not known" in told(database, order, "claimed").message


def test_its_holder_is_stale_and_nobody_is_there_to_take_it_back(database: Database) -> None:
    manager(database)
    order = begun(database)
    backdate(database, UNTOUCHED, order, STALE_MS + 1)
    silence(database, "m1", STALE_MS + 1)
    assert codes(database, order) == ["holder_stale", "no_rescuer", "running"]
    manager(database, "m2")
    assert codes(database, order) == ["holder_stale", "running"]
    assert len(ledger.rescue(database, STALE_MS, "m2")) == 1, "as it said"


def test_its_holder_is_gone(database: Database) -> None:
    manager(database)
    order = begun(database)
    ledger.retire(database, "m1", "told to")
    assert codes(database, order) == ["holder_gone", "no_rescuer", "running"]
    database.write(lambda tx: tx.run(FORGET, {"id": "m1"}))
    assert codes(database, order) == ["holder_unknown", "no_rescuer", "running"]


def test_its_deadline_has_passed(database: Database) -> None:
    manager(database)
    order = begun(database, timeout_ms=1_000)
    backdate(database, BEGAN, order, 10_000)
    assert codes(database, order) == ["past_deadline", "running"]
    assert told(database, order, "past_deadline").facts["late_ms"] >= 9_000


def test_what_took_its_holder_down_runs_apart(database: Database) -> None:
    manager(database)
    order = factories.submit(database)
    claimed_by(database, "gone")
    factories.make_stale(database, order)
    ledger.rescue(database, 1_000)
    factories.make_stale(database, order)
    due = "UPDATE job_order SET run_at = 0 WHERE id = :id"
    key = {"id": database.key(order)}
    database.write(lambda tx: tx.run(Sql(due), key))
    assert claimed_by(database, "m1") == [order]
    assert codes(database, order) == ["claimed", "quarantined"]
    assert "beside it" in told(database, order, "quarantined").message, "it may be innocent"


def in_hand(database: Database, order: str, state: str) -> None:
    """Its worker's row, as its manager writes it."""
    row = WorkerReport("m1/1", state, "thread", 1.0, 1.0, 1, 0, order)
    report_workers(database, "m1", [row])


def test_it_was_cancelled_and_its_worker_runs_on(database: Database) -> None:
    manager(database)
    order = begun(database)
    in_hand(database, order, "busy")
    ledger.cancel(database, order)
    assert codes(database, order) == ["still_running", "cancelled"]
    assert told(database, order, "still_running").facts["worker"] == "m1/1"
    in_hand(database, order, "hung")
    assert "restart the manager" in told(database, order, "still_running").remedy
    silence(database, "m1", STALE_MS)
    assert codes(database, order) == ["cancelled"], "with its manager it has ended"


def test_it_was_cancelled(database: Database) -> None:
    row = factories.order_in(database, CANCELLED)
    assert codes(database, row.id) == ["cancelled"]
    assert row.id in told(database, row.id, "cancelled").remedy


def test_it_has_completed(database: Database) -> None:
    row = factories.order_in(database, COMPLETED)
    assert codes(database, row.id) == ["completed"]
    row = factories.order_in(database, RETRIEVED)
    assert codes(database, row.id) == ["retrieved"]
    assert told(database, row.id, "retrieved").facts["retrieved_on"] == row.retrieved_on


def test_it_failed_for_good(database: Database) -> None:
    order = factories.submit(database, type="fail", payload='{"message":"no","fatal":true}')
    worked_off(database)
    assert codes(database, order) == ["failed_for_good"]
    facts = told(database, order, "failed_for_good").facts
    assert (facts["error"], facts["error_message"], facts["attempts"]) == ("Fail", "no", 1)


def test_it_failed_with_its_last_attempt(database: Database) -> None:
    order = factories.submit(database, type="fail", payload='{"after":0}', max_attempts=2)
    hand = ByHand(database)
    hand.work_off()
    hand.work_off()
    assert codes(database, order) == ["failed_attempts_used"]
    assert "attempt 2 of 2" in told(database, order, "failed_attempts_used").message


def test_it_failed_by_crashing(database: Database) -> None:
    order = factories.submit(database)
    claimed_by(database, "m1")
    factories.make_stale(database, order)
    due = Sql("UPDATE job_order SET crashes = 2 WHERE id = :id")
    database.write(lambda tx: tx.run(due, {"id": database.key(order)}))
    (lost,) = ledger.rescue(database, 1_000)
    assert lost.status == FAILED
    assert codes(database, order) == ["failed_by_crashes"]
    assert told(database, order, "failed_by_crashes").facts["error"] == "Crashed"


def test_every_reason_of_every_status_says_what_to_do(database: Database) -> None:
    manager(database)
    for status in (COMPLETED, RETRIEVED, FAILED, CANCELLED, "wip", "pending"):
        answer = explain(database, factories.order_in(database, status).id)
        assert answer.status == status
        assert answer.reasons
        for one in answer.reasons:
            assert one.message
            assert one.remedy

"""The last write is stubborn: it is tried until it took, and recorded once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

import ledger
from database import DatabaseAway, Sql
from jobs import Context
from manager import writer
from manager.outcome import ERROR, SUCCEEDED, Outcome
from models import COMPLETED, FAILED, PENDING, WIP
from tests.factories import submit
from tests.ledger import evidence
from tests.manager.by_hand import ByHand, Unlucky, assignment, events
from tests.manager.conftest import JobType

TALLIED = Sql("SELECT coalesce(sum(n), 0) FROM tally WHERE before = 'wip' AND after = :status")

POISON = {
    "sqlite": "CREATE TRIGGER poison BEFORE UPDATE ON job_order WHEN NEW.result = '666' "
    "BEGIN SELECT RAISE(ABORT, 'poison'); END",
    "postgresql": "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN IF NEW.result = ''666'' THEN RAISE EXCEPTION ''poison''; END IF; RETURN NEW; END'; "
    "CREATE TRIGGER poison BEFORE UPDATE ON job_order FOR EACH ROW EXECUTE FUNCTION poison()",
}


def tallied(database: Unlucky, status: str) -> int:
    return int(database.read(TALLIED, {"status": status})[0][0])


def claim_and_run(hand: ByHand, **columns: Any) -> str:
    order_id = submit(hand.database, **columns)
    hand.claimer.step()
    assert hand.run_all() == 1
    return order_id


def test_outcomes_of_all_kinds_go_in_one_batch(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, workers=3)
    good = submit(unlucky)
    bad = submit(unlucky, type="fail", payload='{"fatal":true}')
    again = submit(unlucky, type="fail", payload="{}")
    hand.claimer.step()
    assert hand.run_all() == 3
    hand.writer.step()
    assert hand.writer.unwritten() == 0
    found = [ledger.find(unlucky, one).status for one in (good, bad, again)]
    assert found == [COMPLETED, FAILED, PENDING]
    assert hand.rung == 1


def test_a_line_of_the_log_tells_what_failed_and_how(unlucky: Unlucky, job_type: JobType) -> None:
    def divide(_context: Context) -> float:
        return 1 / 0

    hand = ByHand(unlucky, workers=3)
    ids = [submit(unlucky, type="fail", payload='{"fatal":true}') for _ in range(2)]
    kind = job_type("tests.divides", divide)
    ids.append(submit(unlucky, type=kind, payload="{}", max_attempts=1))
    hand.claimer.step()
    hand.run_all()
    with capture_logs() as lines:
        hand.writer.step()
    assert lines == [
        {
            "event": "orders failed",
            "log_level": "warning",
            "n": 3,
            "jobs": ids,
            "types": ["fail", kind],
            "errors": ["Fail", "ZeroDivisionError"],
        }
    ]


def test_refused_it_is_tried_again_and_recorded_once(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = claim_and_run(hand)
    unlucky.refused = 3
    for _ in range(3):
        with pytest.raises(DatabaseAway):
            hand.writer.step()
        assert hand.writer.unwritten() == 1
        assert [a.id for a in hand.leases.held()] == [order_id], "the heartbeat must renew it"
    hand.writer.step()
    assert ledger.find(unlucky, order_id).status == COMPLETED
    assert events(unlucky).count("completed") == 1
    assert "late_result_discarded" not in events(unlucky)
    assert tallied(unlucky, COMPLETED) == 1
    assert hand.leases.held() == []


@pytest.mark.parametrize(
    ("payload", "status"), [("{}", PENDING), ('{"fatal":true}', FAILED), ('{"times":0}', COMPLETED)]
)
def test_a_commit_whose_answer_was_lost_is_known_again(
    hand: ByHand, unlucky: Unlucky, payload: str, status: str
) -> None:
    order_id = claim_and_run(hand, type="fail", payload=payload)
    unlucky.unanswered = 1
    with pytest.raises(DatabaseAway):
        hand.writer.step()
    assert ledger.find(unlucky, order_id).status == status
    hand.writer.step()
    assert "late_result_discarded" not in events(unlucky)
    assert tallied(unlucky, status) == 1
    assert hand.writer.unwritten() == 0
    assert hand.leases.held() == []


def retrieved(database: Unlucky, order_id: str) -> None:
    assert ledger.retrieve(database, order_id)


def claimed_elsewhere(database: Unlucky, order_id: str) -> None:
    other = ByHand(database, name="other")
    other.claimer.step()
    assert [a.id for a in other.leases.held()] == [order_id]


def retried_by_hand(database: Unlucky, order_id: str) -> None:
    ledger.retry(database, order_id)


@pytest.mark.parametrize(
    ("payload", "then"),
    [
        ('{"times":0}', retrieved),
        ('{"after":0}', claimed_elsewhere),
        ('{"fatal":true}', retried_by_hand),
    ],
)
def test_it_is_known_again_though_the_order_has_moved_on(
    hand: ByHand, unlucky: Unlucky, payload: str, then: Callable[[Unlucky, str], None]
) -> None:
    order_id = claim_and_run(hand, type="fail", payload=payload)
    unlucky.unanswered = 1
    with pytest.raises(DatabaseAway):
        hand.writer.step()
    then(unlucky, order_id)
    hand.writer.step()
    assert "late_result_discarded" not in events(unlucky), "it was in time, and was recorded"
    assert hand.leases.held() == []


def test_what_the_database_cannot_take_at_once_it_takes_in_parts(
    unlucky: Unlucky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch may be too large for it, or one order of it locked by somebody for long."""
    hand = ByHand(unlucky, workers=8)
    ids = [submit(unlucky) for _ in range(8)]
    hand.claimer.step()
    assert hand.run_all() == 8
    sizes: list[int] = []

    def finish(database: Unlucky, manager: str, endings: list[Any], **more: Any) -> list[Any]:
        sizes.append(len(endings))
        if ids[3] in [ending.id for ending in endings]:
            raise DatabaseAway("cannot be taken")
        return ledger.finish(database, manager, endings, **more)

    monkeypatch.setattr(writer, "finish", finish)
    for _ in range(12):
        with suppress(DatabaseAway):
            hand.writer.step()
    assert [ledger.find(unlucky, one).status for one in ids].count(COMPLETED) == 7
    assert hand.writer.unwritten() == 1
    assert sizes[:2] == [8, 4]
    monkeypatch.undo()
    hand.writer.step()
    assert ledger.find(unlucky, ids[3]).status == COMPLETED
    assert events(unlucky).count("late_result_discarded") == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_order_that_somebody_keeps_locked_holds_up_no_other(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, workers=4)
    ids = [submit(unlucky) for _ in range(8)]
    hand.claimer.step()
    with evidence.locked(unlucky, ids[1]):
        assert hand.run_all() == 4
        hand.writer.step()
        assert hand.writer.unwritten() == 1
        # Nor those that come after it, while it is tried again and again.
        hand.claimer.step()
        assert hand.run_all() == 4
        hand.writer._locked_due = 0.0
        hand.writer.step()
        assert [ledger.find(unlucky, one).status for one in ids].count(COMPLETED) == 7
        assert hand.writer.unwritten() == 1
        assert [a.id for a in hand.leases.held()] == [ids[1]], "the heartbeat must renew it"
    hand.drain()
    assert [ledger.find(unlucky, one).status for one in ids] == [COMPLETED] * 8
    assert events(unlucky).count("completed") == 3
    assert "late_result_discarded" not in events(unlucky)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_was_said_by_a_locked_order_waits_with_its_outcome(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, workers=2)
    ids = [submit(unlucky) for _ in range(2)]
    hand.claimer.step()
    assert hand.run_all() == 2
    waiting = {(ids[0], 1)}
    hand.writer._before_finish = lambda part: waiting & {(e.id, e.lease) for e in part}
    hand.writer.step()
    assert [ledger.find(unlucky, one).status for one in ids] == [WIP, COMPLETED]
    waiting.clear()
    hand.drain()
    assert ledger.find(unlucky, ids[0]).status == COMPLETED


def test_an_attempt_ended_when_it_did_however_late_that_is_written(
    hand: ByHand, unlucky: Unlucky, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def finish(database: Unlucky, manager: str, endings: list[Any], **more: Any) -> list[Any]:
        written.extend(endings)
        return ledger.finish(database, manager, endings, **more)

    monkeypatch.setattr(writer, "finish", finish)
    before = time.monotonic()
    claim_and_run(hand)
    after = time.monotonic()
    hand.writer.step()
    assert before <= written[0].ended <= after


def test_large_results_that_wait_hold_up_the_claims(hand: ByHand, unlucky: Unlucky) -> None:
    result = '"' + "x" * 1_000_000 + '"'
    for _ in range(64):
        hand.writer.put(assignment(), Outcome(SUCCEEDED, 0.1, result))
    assert not hand.writer.is_behind()
    for _ in range(8):
        hand.writer.put(assignment(), Outcome(SUCCEEDED, 0.1, result))
    assert hand.writer.is_behind()
    hand.drain()
    assert not hand.writer.is_behind()


def test_it_does_not_give_up_when_the_leases_may_have_ended(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = claim_and_run(hand)
    hand.leases.renewed(-1e9)
    unlucky.refused = 2
    for _ in range(2):
        with pytest.raises(DatabaseAway):
            hand.writer.step()
    hand.writer.step()
    assert hand.leases.held() == []
    assert ledger.find(unlucky, order_id).status == COMPLETED, "nobody had taken it"


def test_a_late_result_is_an_event_and_harms_no_other(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, workers=2)
    lost, kept = submit(unlucky), submit(unlucky)
    hand.claimer.step()
    hand.run_all()
    ledger.cancel(unlucky, lost)
    hand.writer.step()
    assert ledger.find(unlucky, lost).status == "cancelled"
    assert ledger.find(unlucky, lost).result is None
    assert ledger.find(unlucky, kept).status == COMPLETED
    assert events(unlucky).count("late_result_discarded") == 1
    assert hand.leases.held() == []


def test_a_decision_that_cannot_be_made_loses_no_other_outcome(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, workers=3)
    ids = [submit(unlucky) for _ in range(3)]
    hand.claimer.step()
    for order, wish in zip(hand.leases.open(), (None, float("nan"), None), strict=True):
        hand.leases.settle(order)
        kind = SUCCEEDED if wish is None else ERROR
        hand.writer.put(order, Outcome(kind, 0.1, "1", retry_after=wish))
    for _ in range(3):
        try:
            hand.drain()
        except ValueError:
            continue  # the loop logs it and steps again
    states = [ledger.find(unlucky, one).status for one in ids]
    assert states.count(COMPLETED) == 2, "what was gathered before it must not be lost"
    assert hand.leases.held() == [], "held for ever, it would never run again"


def test_one_order_that_the_database_refuses_does_not_hold_up_the_others(
    unlucky: Unlucky,
) -> None:
    with unlucky.session() as connection:
        connection.execute(POISON[unlucky.dialect])
    hand = ByHand(unlucky, workers=3)
    ids = [submit(unlucky, payload=f'{{"num1":{number},"num2":0}}') for number in (1, 666, 2)]
    hand.claimer.step()
    hand.run_all()
    for _ in range(5):
        try:
            hand.drain()
        except Exception:  # the loop logs it and steps again
            continue
    states = [ledger.find(unlucky, one).status for one in ids]
    assert (states[0], states[2]) == (COMPLETED, COMPLETED)
    assert hand.writer.unwritten() == 0

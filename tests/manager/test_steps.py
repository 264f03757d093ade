"""From the claim to the row, one step after the other, on both databases and without a thread."""

from __future__ import annotations

import json
import threading
from contextlib import suppress

import ledger
from jobs import Context
from ledger import OrderRow
from manager.claimer import LAPSED_SECONDS, UNWRITTEN_SECONDS
from manager.outcome import SUCCEEDED, Outcome
from manager.pool import ManageWorker, PoolStopped
from manager.writer import MOST_UNWRITTEN
from models import COMPLETED, FAILED, PENDING, WIP
from tests.factories import make_stale, submit
from tests.ledger.evidence import waited
from tests.manager.by_hand import ByHand, Unlucky, assignment, events
from tests.manager.conftest import JobType


def row(database: Unlucky, order_id: str) -> OrderRow:
    return ledger.find(database, order_id)


def test_claimed_executed_written(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = submit(unlucky, payload='{"num1":2,"num2":40}')
    assert hand.claimer.step() == 0
    assert row(unlucky, order_id).status == WIP
    assert hand.run_all() == 1
    assert row(unlucky, order_id).status == WIP
    assert hand.writer.unwritten() == 1
    hand.drain()
    done = row(unlucky, order_id)
    assert (done.status, done.result, done.error) == (COMPLETED, "42", None)
    assert (done.attempts, done.lease, done.manager) == (1, 1, "by-hand")
    assert done.worker == "MainThread"
    assert done.started_on is not None
    assert done.run_ms is not None
    assert hand.leases.held() == hand.leases.open() == []
    assert hand.writer.unwritten() == 0
    assert events(unlucky)[-2:] == ["claimed", "completed"]


def test_an_error_waits_for_its_next_attempt_and_the_managers_are_told(
    hand: ByHand, unlucky: Unlucky
) -> None:
    order_id = submit(unlucky, type="fail", payload='{"times":1,"after":0}', max_attempts=2)
    hand.work_off()
    waiting = row(unlucky, order_id)
    assert (waiting.status, waiting.attempts, waiting.error) == (PENDING, 1, None)
    assert hand.rung == 1
    hand.work_off()
    done = row(unlucky, order_id)
    assert (done.status, done.attempts, done.lease) == (COMPLETED, 2, 2)
    (attempt,) = ledger.history(unlucky, order_id)
    assert (attempt.number, attempt.lease, attempt.outcome) == (1, 1, "error")


def test_attempts_used_up_is_failed(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = submit(unlucky, type="fail", payload='{"after":0}', max_attempts=2)
    for _ in range(3):
        hand.work_off()
    failed = row(unlucky, order_id)
    assert (failed.status, failed.attempts) == (FAILED, 2)
    assert failed.error is not None
    assert json.loads(failed.error)["type"] == "Retry"


def test_an_unknown_type_goes_back_for_half_a_minute(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = submit(unlucky, type="tests.elsewhere", max_attempts=1)
    hand.work_off()
    back = row(unlucky, order_id)
    assert (back.status, back.attempts, back.lease) == (PENDING, 0, 1)
    assert 29_000 < back.run_at - back.last_updated <= 30_000
    assert "unknown_type" in events(unlucky)
    hand.work_off()
    assert row(unlucky, order_id).lease == 1, "it is not due yet"


def test_only_free_workers_are_claimed_for(hand: ByHand, unlucky: Unlucky) -> None:
    for _ in range(3):
        submit(unlucky)
    hand.claimer.step()
    assert len(hand.leases.held()) == 1
    assert hand.claimer.step() == 30.0, "nothing to do until a slot is free"
    assert len(hand.leases.held()) == 1


def test_three_managers_of_one_worker_share_long_orders_evenly(unlucky: Unlucky) -> None:
    hands = [ByHand(unlucky, name=f"manager-{number}") for number in range(3)]
    for hand in hands:
        hand.pace.observe("sleep", 30.0)
        hand.pace.observe("add", 0.000_1)  # that others are short must not matter
    ids = [submit(unlucky, type="sleep", payload='{"seconds":30}') for _ in range(3)]
    for hand in hands:
        hand.claimer.step()
    assert {row(unlucky, one).manager for one in ids} == {hand.name for hand in hands}


def test_ahead_go_only_types_that_are_known_to_be_short(hand: ByHand, unlucky: Unlucky) -> None:
    hand.pace.observe("add", 0.02)  # one worker ends 50 of them in a second
    for _ in range(5):
        submit(unlucky)
    long_id = submit(unlucky, type="sleep", payload='{"seconds":30}')
    behind = submit(unlucky)
    hand.claimer.step()
    assert len(hand.leases.held()) == 5
    assert row(unlucky, long_id).status == PENDING
    assert row(unlucky, behind).status == PENDING, "nothing overtakes the long one"


def test_ahead_goes_at_most_a_fifth_of_a_second_of_work(hand: ByHand, unlucky: Unlucky) -> None:
    hand.pace.observe("add", 0.04)
    for _ in range(60):
        submit(unlucky)
    hand.claimer.step()
    assert len(hand.leases.held()) == 1 + 5


def test_an_overdue_order_does_not_cost_the_others_their_free_slot(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, workers=4)
    submit(unlucky, delay_ms=3_600_000)
    for _ in range(4):
        hand.claimer.step()  # the fifth claim of ten looks first at what is past its bound
    overdue = submit(unlucky)
    waited(unlucky, overdue, 3_600_000)
    for _ in range(9):
        submit(unlucky)
    while hand.claimer.step() == 0:
        pass
    assert row(unlucky, overdue).status == WIP
    assert len(hand.leases.held()) == 4, "slots stay free for a whole poll while orders wait"


def test_nothing_is_claimed_on_leases_that_may_have_ended(unlucky: Unlucky) -> None:
    hand = ByHand(unlucky, stale_seconds=30)
    hand.leases.renewed(-1e9)
    order_id = submit(unlucky)
    assert hand.claimer.step() == LAPSED_SECONDS
    assert row(unlucky, order_id).status == PENDING
    hand.heartbeat.tick()
    assert hand.claimer.step() == 0


def test_nothing_is_claimed_while_too_much_is_unwritten(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = submit(unlucky)
    waiting = assignment()
    for _ in range(MOST_UNWRITTEN + 1):
        hand.writer.put(waiting, Outcome(SUCCEEDED, 0.0, "1"))
    assert hand.claimer.step() == UNWRITTEN_SECONDS
    assert row(unlucky, order_id).status == PENDING


def test_a_new_queue_is_found_by_the_claim_that_finds_nothing(
    hand: ByHand, unlucky: Unlucky
) -> None:
    hand.claimer.step()
    order_id = submit(unlucky, queue="brand-new")
    hand.work_off()
    assert row(unlucky, order_id).status == COMPLETED


def test_an_urgent_order_in_a_new_queue_is_next_while_a_backlog_is_worked_off(
    hand: ByHand, unlucky: Unlucky
) -> None:
    for _ in range(3):
        submit(unlucky, type="sleep", payload='{"seconds":0}')
    hand.work_off()
    order_id = submit(unlucky, queue="brand-new", priority=1)
    hand.work_off()
    assert row(unlucky, order_id).status == COMPLETED


def test_cancelled_while_it_waits_behind_the_workers_it_never_runs(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    ran: list[str] = []
    job_type("tests.ran", lambda context: ran.append(context.job_id))
    hand.pace.observe("tests.ran", 0.001)
    ids = [submit(unlucky, type="tests.ran", payload="{}") for _ in range(3)]
    hand.claimer.step()
    assert len(hand.leases.held()) == 3
    ledger.cancel(unlucky, ids[1])
    hand.heartbeat.tick()
    assert [a.id for a in hand.leases.held()] == [ids[0], ids[2]]
    hand.run_all()
    hand.drain()
    assert ran == [ids[0], ids[2]]
    assert row(unlucky, ids[1]).status == "cancelled"
    assert "late_result_discarded" not in events(unlucky)


def test_progress_reaches_the_row(hand: ByHand, unlucky: Unlucky, job_type: JobType) -> None:
    seen: list[str | None] = []

    def telling(context: Context) -> None:
        for percent in (10, 40):
            context.progress(percent, f"at {percent}")
        hand.heartbeat.report_progress()
        seen.append(row(unlucky, context.job_id).progress)
        hand.heartbeat.report_progress()

    order_id = submit(unlucky, type=job_type("tests.tells", telling), payload="{}")
    hand.work_off()
    assert seen[0] is not None
    assert json.loads(seen[0]) == {"percent": 40, "message": "at 40"}
    assert row(unlucky, order_id).status == COMPLETED


def test_what_a_stopped_pool_refuses_is_not_held_for_ever(unlucky: Unlucky) -> None:
    """A claim may be under way when the manager stops: it must not end in nobody's hands."""
    pool = ManageWorker(1)
    hand = ByHand(unlucky, pool=pool)
    order_id = submit(unlucky)
    pool.stop()
    with suppress(PoolStopped):
        hand.claimer.step()
    hand.drain()
    assert hand.leases.held() == []
    assert row(unlucky, order_id).status == PENDING
    assert row(unlucky, order_id).attempts == 0


def test_a_rescued_order_runs_again_elsewhere_and_the_first_report_is_late(
    unlucky: Unlucky, job_type: JobType
) -> None:
    first, second = ByHand(unlucky, name="first"), ByHand(unlucky, name="second")
    order_id = submit(unlucky)
    first.claimer.step()
    make_stale(unlucky, order_id)
    (rescued,) = ledger.rescue(unlucky, 30_000)
    assert rescued.id == order_id
    assert (row(unlucky, order_id).crashes, row(unlucky, order_id).status) == (1, PENDING)
    first.run_all()
    first.drain()
    assert events(unlucky)[-1] == "late_result_discarded"
    assert row(unlucky, order_id).status == PENDING
    assert first.leases.held() == []
    due = threading.Event()
    while row(unlucky, order_id).status != COMPLETED:  # after a back-off of a second at most
        second.work_off()
        due.wait(0.02)
    assert row(unlucky, order_id).manager == "second"

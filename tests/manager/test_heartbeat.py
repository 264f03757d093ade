"""The heartbeat: what it renews, what it learns, and what it ends when it cannot."""

from __future__ import annotations

import threading
import time

import pytest
from structlog.testing import capture_logs

import ledger
from database import Sql
from jobs import Context
from jobs.errors import Cancelled
from ledger import LostLease, ManagerRow
from manager import heartbeat
from manager.outcome import HANDED_BACK
from models import CANCELLED, COMPLETED, PENDING, WIP
from tests.factories import make_stale, submit
from tests.manager.by_hand import ByHand, Unlucky, events, run_calling
from tests.manager.conftest import JobType
from tests.support import wait_until

AGE = Sql("UPDATE manager SET last_beat = last_beat - 60000")


def row(database: Unlucky) -> ManagerRow:
    return next(m for m in ledger.managers(database) if m.id == "by-hand")


def test_a_beat_renews_the_manager_and_all_it_holds(hand: ByHand, unlucky: Unlucky) -> None:
    order_id = submit(unlucky)
    hand.claimer.step()
    make_stale(unlucky, order_id)
    unlucky.write(lambda transaction: transaction.run(AGE))
    assert row(unlucky).silent_ms >= 60_000
    hand.heartbeat.tick()
    assert row(unlucky).silent_ms < 10_000
    assert ledger.rescue(unlucky, 30_000) == []
    waiting = ledger.find(unlucky, order_id)
    assert (waiting.status, waiting.started_on, waiting.worker) == (WIP, None, None)


def test_a_beat_tells_since_when_and_on_which_worker_it_runs(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    seen = []

    def look(context: Context) -> None:
        hand.heartbeat.tick()
        seen.append(ledger.find(unlucky, context.job_id))

    run_calling(hand, job_type, look)
    assert seen[0].worker == "MainThread"
    assert seen[0].started_on is not None


def test_cancelled_while_running_the_job_is_told_and_nothing_is_reported(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    told = []

    def work(context: Context) -> str:
        ledger.cancel(unlucky, context.job_id)
        assert not context.cancelled
        hand.heartbeat.tick()
        told.append(context.cancelled)
        return "too late"

    order_id = run_calling(hand, job_type, work)  # type: ignore[arg-type]
    assert told == [True]
    hand.drain()
    assert ledger.find(unlucky, order_id).status == CANCELLED
    assert hand.leases.held() == []
    assert "late_result_discarded" not in events(unlucky)


def test_a_lost_lease_is_told_and_its_report_is_late(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    told = []

    def work(context: Context) -> None:
        make_stale(unlucky, context.job_id)
        assert len(ledger.rescue(unlucky, 30_000)) == 1
        hand.heartbeat.tick()
        told.append(context.cancelled)
        assert hand.leases.held() == []

    order_id = run_calling(hand, job_type, work)
    assert told == [True]
    hand.drain()
    assert ledger.find(unlucky, order_id).status == PENDING
    assert events(unlucky)[-1] == "late_result_discarded"


def test_what_is_written_while_the_beat_is_under_way_is_not_lost(
    hand: ByHand, unlucky: Unlucky
) -> None:
    order_id = submit(unlucky)
    hand.claimer.step()
    hand.run_all()
    (held,) = hand.leases.held()
    unlucky.unanswered = 1  # written, but still held, as between the commit and the release
    with pytest.raises(Exception, match="lost by the test"):
        hand.writer.step()
    hand.heartbeat.tick()
    assert hand.leases.held() == [held]
    hand.writer.step()
    assert ledger.find(unlucky, order_id).status == COMPLETED
    assert "late_result_discarded" not in events(unlucky)


def test_a_database_that_is_away_for_one_beat_stops_nothing(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    told = []

    def work(context: Context) -> None:
        unlucky.refused = 1
        hand.heartbeat.tick()
        told.append(context.cancelled)

    order_id = run_calling(hand, job_type, work)
    hand.drain()
    assert told == [False]
    assert ledger.find(unlucky, order_id).status == COMPLETED


@pytest.mark.parametrize("looks", [True, False])
def test_past_the_trusted_time_the_own_work_is_stopped(
    unlucky: Unlucky, job_type: JobType, looks: bool
) -> None:
    hand = ByHand(unlucky, workers=2)
    told = []

    def work(context: Context) -> None:
        hand.leases.renewed(-1e9)
        unlucky.refused = 1
        hand.heartbeat.tick()
        told.append(context.cancelled if looks else context._cancelled)

    name = job_type("tests.lapses", work)
    ids = [submit(unlucky, type=name, payload="{}") for _ in range(2)]
    hand.claimer.step()
    assert hand.run_all() == 2
    assert told == [True], "the second had not begun, and never does"
    hand.heartbeat.tick()
    assert not hand.leases.lapsed(), "it serves on when the database is back"
    hand.drain()
    found = [ledger.find(unlucky, one) for one in ids]
    assert [order.status for order in found] == [PENDING if looks else COMPLETED, PENDING]
    assert {order.attempts for order in found if order.status == PENDING} == {0}


def test_stopped_for_an_outage_an_order_loses_no_attempt_by_it(
    hand: ByHand, unlucky: Unlucky, job_type: JobType
) -> None:
    """The database came back before anybody took the order: it was not the job that failed."""

    def work(context: Context) -> None:
        hand.leases.renewed(-1e9)
        unlucky.refused = 1
        hand.heartbeat.tick()
        assert context.cancelled
        hand.heartbeat.tick()
        raise Cancelled

    order_id = run_calling(hand, job_type, work, max_attempts=1)
    hand.drain()
    after = ledger.find(unlucky, order_id)
    assert (after.status, after.attempts) == (PENDING, 0)
    assert HANDED_BACK in events(unlucky)


def test_a_beat_that_hangs_does_not_keep_the_own_work_running(
    unlucky: Unlucky, job_type: JobType
) -> None:
    """No answer at all is worse than an error: others will take the work all the same."""
    hand = ByHand(unlucky, workers=1, stale_seconds=0.2)
    entered, answer = threading.Event(), threading.Event()
    told = []

    def hang(transaction: object) -> None:
        entered.set()
        answer.wait(20)

    def work(context: Context) -> None:
        holder = threading.Thread(target=unlucky.write, args=(hang,))
        if unlucky.dialect == "sqlite":  # who writes holds the file's one turn
            holder.start()
            assert entered.wait(5)
        else:
            holder.start()
        lock = None
        if unlucky.dialect == "postgresql":
            lock = threading.Thread(target=_hold_manager_row, args=(unlucky, entered, answer))
            entered.clear()
            lock.start()
            assert entered.wait(5)
        beat = threading.Thread(target=hand.heartbeat.tick)
        beat.start()
        for _ in range(20):
            hand.watchman.tick()
            if context.wait(0.05):
                break
        told.append(context.cancelled)
        wait_until(lambda: hand.heartbeat._hangs(time.monotonic()))
        answer.set()
        for thread in (holder, beat, lock):
            if thread is not None:
                thread.join(20)

    name = job_type("tests.hangs", work)
    submit(unlucky, type=name, payload="{}")
    hand.claimer.step()
    hand.run_all()
    assert told == [True]
    assert not hand.heartbeat.is_steady(3_600)


def _hold_manager_row(database: Unlucky, entered: threading.Event, answer: threading.Event) -> None:
    def hold(transaction: object) -> None:
        transaction.rows(Sql("SELECT id FROM manager FOR UPDATE"))  # type: ignore[attr-defined]
        entered.set()
        answer.wait(20)

    database.write(hold)


def test_beats_are_slow_by_the_stale_time(
    unlucky: Unlucky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that takes three seconds for each, where thirty are allowed, is a slow one; but
    nobody is to be rescued from silence just after beats that took most of what is allowed."""
    took = 0.0
    now = 1_000.0
    hand = ByHand(unlucky, stale_seconds=30.0)

    def renew(*_given: object) -> list[LostLease]:
        nonlocal now
        now += took
        return []

    monkeypatch.setattr(heartbeat, "renew", renew)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for took, steady in ((3.0, True), (8.0, False), (3.0, False)):
        hand.heartbeat.tick()
        now += 1.0
        assert hand.heartbeat.is_steady(30.0) is steady, took
    now += 30.0
    hand.heartbeat.tick()
    assert hand.heartbeat.is_steady(30.0)


def test_a_beat_after_the_sign_off_does_not_bring_the_manager_back(
    hand: ByHand, unlucky: Unlucky
) -> None:
    """The last beat may still be under way when the manager signs off."""
    hand.heartbeat.state = "draining"
    ledger.retire(unlucky, "by-hand", "test")
    hand.heartbeat.tick()
    assert row(unlucky).state == "stopped"


def test_what_kept_the_beats_from_coming_through_is_told(
    unlucky: Unlucky, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = ByHand(unlucky, stale_seconds=0)
    unlucky.refused = 1
    with capture_logs() as lines:
        hand.heartbeat.tick()
    reason = "refused by the test"
    assert [(line["event"].partition(";")[0], line["reason"]) for line in lines] == [
        ("heartbeat missed", reason),
        ("leases can no longer be trusted", reason),
    ]
    hand.heartbeat.tick()

    def hangs(*_given: object) -> list[LostLease]:
        hand.watchman.tick()
        return []

    monkeypatch.setattr(heartbeat, "renew", hangs)
    with capture_logs() as lines:
        hand.heartbeat.tick()
        hand.heartbeat.tick()
        hand.watchman.tick()
    assert [line["reason"] for line in lines if line["log_level"] == "error"] == [
        "a heartbeat has had no answer for 0 s",
        "a heartbeat has had no answer for 0 s",
        "no heartbeat was sent in time: was this process stopped?",
    ]

"""What people do to orders: cancel, retry, retrieve, delete; and pausing queues."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ledger
from database import Database
from ledger import Beat, MoveRefused, OrderRow, UnknownOrder
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP
from tests.factories import MANAGER, claim, ending, make_stale, order_in, submit
from tests.ledger import evidence


def test_cancelling_what_waits(database: Database) -> None:
    order = order_in(database, PENDING)
    after = ledger.cancel(database, order.id)
    assert after == ledger.find(database, order.id)
    assert (after.status, after.attempts, after.run_ms) == (CANCELLED, 0, None)
    assert after.completed_on == after.last_updated
    assert evidence.events(database, "cancelled")[0].data == {"before": PENDING}
    assert claim(database) == []


def test_cancelling_what_runs_ends_it_at_once(database: Database) -> None:
    order = order_in(database, WIP)
    ledger.renew(database, MANAGER, [Beat(order.id, 1, "w1", 5000)])
    after = ledger.cancel(database, order.id)
    assert (after.status, after.lease, after.manager, after.worker) == (CANCELLED, 1, MANAGER, "w1")
    assert after.run_ms is not None
    assert after.run_ms >= 5000
    assert ledger.renew(database, MANAGER, [Beat(order.id, 1)]) == [(order.id, 1, CANCELLED)]
    assert ledger.levels(database).run_ms == after.run_ms


def test_the_first_of_a_cancel_and_a_report_wins(database: Database) -> None:
    submit(database)
    (order,) = claim(database)

    def cancel() -> bool:
        try:
            ledger.cancel(database, order.id)
        except MoveRefused:
            return False
        return True

    def finish() -> bool:
        return ledger.finish(database, MANAGER, [ending(order)]) == []

    assert sorted(evidence.at_once([cancel, finish])) == [False, True]
    assert evidence.levels(database) == evidence.counted(database)
    moves = evidence.moves(database)
    assert moves[WIP, CANCELLED] + moves[WIP, COMPLETED] == 1


def test_of_many_cancels_one_moves(database: Database) -> None:
    order = submit(database)

    def cancel() -> str:
        try:
            return ledger.cancel(database, order).status
        except MoveRefused as refused:
            return f"refused: {refused.status}"

    answers = evidence.at_once([cancel] * 8)
    assert sorted(answers) == [CANCELLED] + ["refused: cancelled"] * 7
    assert evidence.moves(database)[PENDING, CANCELLED] == 1


def test_a_retry_starts_anew_and_keeps_the_history(database: Database) -> None:
    order = order_in(database, FAILED, max_attempts=1)
    after = ledger.retry(database, order.id)
    assert after == ledger.find(database, order.id)
    assert (after.status, after.attempts, after.crashes, after.lease) == (PENDING, 0, 0, 1)
    assert after.run_at == after.last_updated
    for name in ("error", "result", "completed_on", "started_on", "run_ms", "manager", "worker"):
        assert getattr(after, name) is None, name
    (past,) = ledger.history(database, order.id)
    assert past == (
        *(1, 1, FAILED, MANAGER, f"{MANAGER}/1"),
        *(order.started_on, order.completed_on, 5, order.error),
    )
    assert evidence.events(database, "retried")[0].data == {"before": FAILED}
    (again,) = claim(database)
    assert (again.attempts, again.lease) == (1, 2)


def test_what_once_crashed_stays_apart_also_after_retries_by_hand(database: Database) -> None:
    order = submit(database)
    claim(database, "gone")
    make_stale(database, order)
    assert ledger.rescue(database, 30_000)
    for _ in range(2):
        ledger.cancel(database, order)
        ledger.retry(database, order)
        (again,) = claim(database, "next")
        assert (again.crashes, again.quarantined) == (0, 1)
    other = submit(database)
    ledger.cancel(database, other)
    ledger.retry(database, other)
    (never,) = claim(database, "next")
    assert (never.id, never.quarantined) == (other, 0)
    assert ledger.holdings(database, "next")[0].quarantined == 1


def test_a_retry_of_what_was_cancelled_while_it_ran_keeps_that_run(database: Database) -> None:
    order = order_in(database, WIP)
    ledger.renew(database, MANAGER, [Beat(order.id, 1, "w1", 5000)])
    ledger.cancel(database, order.id)
    ledger.retry(database, order.id)
    (past,) = ledger.history(database, order.id)
    assert (past.lease, past.outcome, past.worker) == (1, CANCELLED, "w1")


def test_a_retry_of_what_never_ran_has_no_history(database: Database) -> None:
    order = order_in(database, CANCELLED)
    ledger.retry(database, order.id)
    assert ledger.history(database, order.id) == []


def test_an_attempt_is_in_the_history_once(database: Database) -> None:
    submit(database)
    (order,) = claim(database)
    ledger.finish(database, MANAGER, [ending(order, PENDING, delay_ms=60_000)])
    for _ in range(2):
        ledger.cancel(database, order.id)
        ledger.retry(database, order.id)
    assert [(p.lease, p.outcome) for p in ledger.history(database, order.id)] == [(1, "error")]


def test_history_grows_over_retries_by_hand(database: Database) -> None:
    order = order_in(database, FAILED)
    for nth in (2, 3):
        ledger.retry(database, order.id)
        (claimed,) = claim(database)
        assert claimed.lease == nth
        ledger.finish(database, MANAGER, [ending(claimed, FAILED)])
    past = ledger.history(database, order.id)
    assert [(p.lease, p.number) for p in past] == [(1, 1), (2, 1)]


def test_a_result_is_retrieved_once(database: Database) -> None:
    order = order_in(database, COMPLETED)
    assert sorted(evidence.at_once([lambda: ledger.retrieve(database, order.id)] * 8)) == (
        [False] * 7 + [True]
    )
    found = ledger.find(database, order.id)
    assert (found.status, found.result) == (RETRIEVED, order.result)
    assert found.retrieved_on is not None
    assert found.completed_on == order.completed_on
    assert [event.ids for event in evidence.events(database, "retrieved")] == [[order.id]]
    assert not ledger.retrieve(database, ledger.new_id())


def test_deleting_takes_the_history_along(database: Database) -> None:
    kept = order_in(database, FAILED)
    ledger.retry(database, kept.id)
    ledger.cancel(database, kept.id)
    order = order_in(database, FAILED)
    ledger.retry(database, order.id)
    gone = ledger.cancel(database, order.id)
    assert len(evidence.attempts(database)) == 2
    assert ledger.delete(database, order.id) == gone
    with pytest.raises(UnknownOrder):
        ledger.find(database, order.id)
    assert ledger.history(database, order.id) == []
    assert len(ledger.history(database, kept.id)) == 1, "another order's"
    assert evidence.levels(database) == evidence.counted(database) == {CANCELLED: 1}
    assert [event.ids for event in evidence.events(database, "deleted")] == [[order.id]]


@pytest.mark.parametrize("act", [ledger.cancel, ledger.retry, ledger.delete, ledger.find])
def test_an_unknown_order_is_told(
    database: Database, act: Callable[[Database, str], OrderRow]
) -> None:
    with pytest.raises(UnknownOrder):
        act(database, ledger.new_id())
    assert evidence.events(database) == []


def test_pausing_and_resuming(database: Database) -> None:
    submit(database, queue="used")
    ledger.pause(database, "used")
    ledger.pause(database, "new")
    ledger.pause(database)
    paused = {queue.name: queue.paused_on for queue in ledger.queues(database)}
    assert set(paused) == {"*", "new", "used"}
    assert None not in paused.values()
    ledger.pause(database, "new")
    assert {q.name: q.paused_on for q in ledger.queues(database)} == paused, "since the first time"
    for name in ("used", "new", "unheard of"):
        ledger.resume(database, name)
    ledger.resume(database)
    assert {queue.paused_on for queue in ledger.queues(database)} == {None}
    told = [(e.kind, e.data["queue"]) for e in evidence.events(database)[1:]]
    assert told[:3] == [("queue_paused", "used"), ("queue_paused", "new"), ("queue_paused", "*")]
    assert told[-1] == ("queue_resumed", "*")

"""A whole manager in this process: it starts, works, is watched, and stops without a trace."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from apscheduler.schedulers import base as schedulers

import ledger
from database import Database
from jobs import Context
from ledger import ManagerRow, Request
from manager import supervisor as supervision
from manager.main import build
from manager.supervisor import Every, Supervisor
from models import CANCELLED, COMPLETED, PENDING, WIP
from settings import Settings
from tests.factories import new_order, submit
from tests.manager.by_hand import events
from tests.manager.conftest import JobType
from tests.support import wait_until

Start = Callable[..., Supervisor]


@pytest.fixture
def start(database: Database) -> Iterator[Start]:
    """Start a manager on the test's database; it is stopped at the end."""
    begun: list[Supervisor] = []

    def start_one(**settings: Any) -> Supervisor:
        given = {"poll_seconds": 0.2, "max_workers": 4, "grace_seconds": 10.0}
        supervisor = build(Settings(database_url=database.url, **(given | settings)), database)
        supervisor.start()
        begun.append(supervisor)
        return supervisor

    yield start_one
    for supervisor in begun:
        if supervisor._scheduler.running:
            supervisor.stop()


def in_thread(supervisor: Supervisor) -> tuple[list[int], threading.Thread]:
    """Run a manager to its end on a thread of its own; where its exit code will be."""
    codes: list[int] = []

    def run() -> None:
        codes.append(supervisor.run())

    thread = threading.Thread(target=run)
    thread.start()
    return codes, thread


def manager_row(database: Database) -> ManagerRow:
    (found,) = ledger.managers(database)
    return found


def last_beat(database: Database) -> int:
    return manager_row(database).last_beat


def status(database: Database, order_id: str) -> str:
    return ledger.find(database, order_id).status


def test_two_hundred_orders_and_a_clean_end(start: Start, database: Database) -> None:
    orders = [
        new_order(payload=f'{{"num1":{number},"num2":1}}', max_attempts=1) for number in range(200)
    ]
    supervisor = start()
    ledger.submit(database, [Request(orders)])
    wait_until(lambda: ledger.levels(database).by_status.get(COMPLETED) == 200)
    assert supervisor.stop() == 0
    for number, order in enumerate(orders):
        found = ledger.find(database, order.id)
        assert (found.status, found.result, found.attempts) == (COMPLETED, str(number + 1), 1)
    assert manager_row(database).state == "stopped"
    assert manager_row(database).ended_on is not None
    assert "late_result_discarded" not in events(database)


def test_two_managers_share_one_database(start: Start, database: Database) -> None:
    managers = [start(), start()]
    ledger.submit(database, [Request([new_order() for _ in range(200)])])
    wait_until(lambda: ledger.levels(database).by_status.get(COMPLETED) == 200)
    assert [one.stop() for one in managers] == [0, 0]
    assert "late_result_discarded" not in events(database)


def test_a_stop_waits_for_what_runs(start: Start, database: Database, job_type: JobType) -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_context: Context) -> str:
        begun.set()
        go.wait(20)
        return "done"

    supervisor = start()
    order_id = submit(database, type=job_type("tests.waits", work), payload="{}")
    assert begun.wait(10)
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    wait_until(lambda: supervisor._parts.heartbeat.state == "draining")
    go.set()
    stopping.join(20)
    assert status(database, order_id) == COMPLETED


def test_after_the_grace_a_running_order_goes_back_with_its_attempt(
    start: Start, database: Database
) -> None:
    supervisor = start(grace_seconds=0.1, max_workers=1)
    running = submit(database, type="sleep", payload='{"seconds":60}', max_attempts=1)
    wait_until(lambda: status(database, running) == WIP)
    wait_until(lambda: supervisor._parts.pool.workers)
    waiting = submit(database)
    assert supervisor.stop() == 0
    back = ledger.find(database, running)
    assert (back.status, back.attempts, back.manager, back.error) == (PENDING, 0, None, None)
    assert status(database, waiting) == PENDING
    assert "handed_back" in events(database)
    assert "late_result_discarded" not in events(database)


def test_a_stop_gives_back_at_once_what_waits_behind_the_workers(
    start: Start, database: Database, job_type: JobType
) -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_context: Context) -> None:
        begun.set()
        go.wait(20)

    supervisor = start(max_workers=1)
    name = job_type("tests.holds", work)
    ids = [submit(database, type=name, payload="{}") for _ in range(4)]
    assert begun.wait(10)
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    wait_until(lambda: not supervisor._parts.claiming.alive())
    go.set()
    stopping.join(20)
    assert sorted(status(database, one) for one in ids) == [COMPLETED, PENDING, PENDING, PENDING]
    assert sum(ledger.find(database, one).attempts for one in ids) == 1


def test_a_stop_does_not_wait_for_a_deaf_thread_whose_order_was_cancelled(
    start: Start, database: Database, job_type: JobType
) -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_context: Context) -> None:
        begun.set()
        go.wait(60)

    supervisor = start(max_workers=1, grace_seconds=60.0)
    order_id = submit(database, type=job_type("tests.deaf", work), payload="{}")
    assert begun.wait(10)
    ledger.cancel(database, order_id)
    supervisor._parts.heartbeat.tick()
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    stopping.join(20)
    stopped = not stopping.is_alive()
    go.set()
    stopping.join(60)
    assert stopped, "there was nothing left to wait for"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_these_signals_ask_for_a_stop(database: Database, number: signal.Signals) -> None:
    supervisor = build(Settings(database_url=database.url), database)
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        # Whoever runs the tests may ignore it.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        supervisor.handle_signals()
        child = os.fork()
        if child == 0:  # what a job forks is no manager
            os._exit(signal.getsignal(number) == supervisor._signalled)
        assert os.waitpid(child, 0)[1] == 0
        signal.raise_signal(number)
        assert supervisor.run() == 0
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert manager_row(database).state == "stopped"


def test_a_hangup_that_is_ignored_stays_so(database: Database) -> None:
    supervisor = build(Settings(database_url=database.url), database)
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        supervisor.handle_signals()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        supervisor.stop()


def test_stop_is_safe_twice(start: Start, database: Database) -> None:
    supervisor = start()
    assert supervisor.stop() == 0
    assert supervisor.stop() == 0
    assert manager_row(database).state == "stopped"
    assert events(database).count("manager_stopped") == 1


def test_stop_is_safe_before_start(database: Database) -> None:
    supervisor = build(Settings(database_url=database.url), database)
    assert supervisor.stop() == 0
    assert manager_row(database).state == "stopped"


def test_a_part_that_ends_by_itself_ends_the_manager_with_an_error(
    database: Database,
) -> None:
    supervisor = build(Settings(database_url=database.url, poll_seconds=0.1), database)
    codes, running = in_thread(supervisor)
    wait_until(supervisor._parts.claiming.alive)
    supervisor._parts.claiming.stop()
    running.join(20)
    assert codes == [1]
    assert manager_row(database).state == "stopped"


def test_children_are_told_of_a_lease_before_the_first_beat(database: Database) -> None:
    """What a manager runs that is stopped just after its start must end in time as well."""
    before = time.monotonic()
    supervisor = build(Settings(database_url=database.url, stale_seconds=40.0), database)
    until = supervisor._parts.children._until
    assert until is not None
    assert before + 30 < until < time.monotonic() + 40
    supervisor.stop()


def test_what_was_passed_over_is_one_time() -> None:
    every = Every(0.5)
    now = datetime.now(UTC)
    due = every.get_next_fire_time(None, now)
    assert every.get_next_fire_time(due, due) == due + timedelta(seconds=0.5)
    late = due + timedelta(days=10_000)
    assert every.get_next_fire_time(due, late) == late + timedelta(seconds=0.5)


@pytest.mark.parametrize("set_by", [timedelta(hours=-1), timedelta(days=10_000)])
def test_a_clock_that_is_set_stops_no_duty(
    database: Database, monkeypatch: pytest.MonkeyPatch, set_by: timedelta
) -> None:
    shift = timedelta(0)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + shift

    now = time.time
    monkeypatch.setattr(schedulers, "datetime", Clock)
    monkeypatch.setattr(supervision, "datetime", Clock)
    monkeypatch.setattr(time, "time", lambda: now() + shift.total_seconds())
    supervisor = build(Settings(database_url=database.url, heartbeat_seconds=0.2), database)
    codes, thread = in_thread(supervisor)
    first = last_beat(database)
    wait_until(lambda: last_beat(database) > first)
    shift = set_by
    # What was under way may beat once more before the scheduler looks at the clock.
    for _ in range(5):
        before = last_beat(database)
        wait_until(lambda before=before: last_beat(database) > before)  # type: ignore[misc]
    supervisor._signalled(signal.SIGTERM, None)
    thread.join(20)
    assert codes == [0]


def test_what_a_deaf_thread_comes_to_after_its_cancel_is_told(
    start: Start, database: Database, job_type: JobType
) -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_context: Context) -> str:
        begun.set()
        go.wait(20)
        return "done"

    start(heartbeat_seconds=0.1)
    order_id = submit(database, type=job_type("tests.deaf", work), payload="{}")
    assert begun.wait(10)
    ledger.cancel(database, order_id)
    wait_until(lambda: "worker_replaced" in events(database))
    go.set()
    wait_until(lambda: "late_result_discarded" in events(database))
    assert status(database, order_id) == CANCELLED


def test_told_to_stop_run_returns_with_no_error(database: Database) -> None:
    supervisor = build(Settings(database_url=database.url), database)
    codes, running = in_thread(supervisor)
    wait_until(supervisor._parts.claiming.alive)
    supervisor._signalled(15, None)
    running.join(20)
    assert codes == [0]


def test_a_second_signal_hands_everything_back_at_once(database: Database) -> None:
    supervisor = build(Settings(database_url=database.url, grace_seconds=60.0), database)
    running = threading.Thread(target=supervisor.run)
    running.start()
    order_id = submit(database, type="sleep", payload='{"seconds":60}')
    wait_until(lambda: supervisor._parts.pool.workers)
    supervisor._signalled(15, None)
    supervisor._signalled(15, None)
    running.join(20)
    assert not running.is_alive()
    assert status(database, order_id) == PENDING

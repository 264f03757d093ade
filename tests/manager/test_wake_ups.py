"""A hint ends the sleep early; without it polling finds the work all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import psycopg
import pytest

import ledger
from database import Database
from jobs import Context
from ledger.hints import CANCEL, WORK, Bell, Listener
from manager.main import build
from manager.supervisor import Supervisor
from models import COMPLETED
from settings import Settings
from tests.factories import submit
from tests.manager.conftest import JobType
from tests.support import wait_until

# So long that nothing which a test waits for can have come by polling or by a heartbeat.
NEVER = 300.0


@contextmanager
def managing(database: Database, **settings: Any) -> Iterator[Supervisor]:
    given = {
        "poll_seconds": NEVER,
        "heartbeat_seconds": NEVER,
        "stale_seconds": 3 * NEVER,
        "max_workers": 2,
        "grace_seconds": 5.0,
    }
    supervisor = build(Settings(database_url=database.url, **(given | settings)), database)
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()


@contextmanager
def bell_of(database: Database) -> Iterator[Bell]:
    bell = Bell(database)
    try:
        yield bell
    finally:
        bell.close()


def completed(database: Database, order_id: str) -> bool:
    return ledger.find(database, order_id).status == COMPLETED


def test_a_rung_submit_starts_long_before_the_next_poll(database: Database) -> None:
    with managing(database), bell_of(database) as bell:
        for _ in range(3):
            order_id = submit(database)
            bell.ring()
            wait_until(partial(completed, database, order_id), timeout=5)


def _note(event: threading.Event, _hint: str) -> None:
    event.set()


def test_every_manager_hears_the_bell(database: Database) -> None:
    heard = [threading.Event(), threading.Event()]
    listeners = [
        Listener(database, f"ear-{number}", partial(_note, one)) for number, one in enumerate(heard)
    ]
    for listener in listeners:
        listener.start()
    with bell_of(database) as bell:
        bell.ring(WORK)
        assert all(one.wait(5) for one in heard)
    for listener in listeners:
        listener.close()


def test_a_rung_cancel_reaches_the_job_long_before_the_next_heartbeat(
    database: Database, job_type: JobType
) -> None:
    begun = threading.Event()
    contexts: list[Context] = []

    def work(context: Context) -> None:
        contexts.append(context)
        begun.set()
        context.wait(8)

    name = job_type("tests.cancelled", work)
    with managing(database) as supervisor, bell_of(database) as bell:
        order_id = submit(database, type=name, payload="{}")
        bell.ring()
        assert begun.wait(5)
        ledger.cancel(database, order_id)
        bell.ring(CANCEL)
        wait_until(lambda: contexts[0].cancelled, "the job is told", timeout=4)
        wait_until(lambda: supervisor._parts.pool.load() == 0)
        after = submit(database)
        bell.ring()
        wait_until(lambda: completed(database, after), "hints are still heard", timeout=5)


def test_a_listener_closes_safely_twice_and_before_start_and_leaves_no_descriptor(
    database: Database,
) -> None:
    me = psutil.Process()
    Listener(database, "first", lambda _hint: None).close()
    before = me.num_fds()
    for number in range(10):
        listener = Listener(database, f"ear-{number}", lambda _hint: None)
        listener.start()
        listener.close()
        listener.close()
    database.close()
    assert me.num_fds() <= before + 2


def test_an_error_in_what_hears_does_not_end_the_hearing(database: Database) -> None:
    heard: list[str] = []

    def hear(hint: str) -> None:
        heard.append(hint)
        raise ValueError("of the test")

    threads: list[object] = []
    usual = threading.excepthook
    threading.excepthook = lambda arguments: threads.append(arguments.thread)
    listener = Listener(database, "ear", hear)
    listener.start()
    try:
        with bell_of(database) as bell:
            bell.ring("one")
            wait_until(lambda: heard == ["one"])
            for _ in range(40):
                bell.ring("two")
                if "two" in heard or threads:
                    break
                threading.Event().wait(0.1)
    finally:
        listener.close()
        threading.excepthook = usual
    assert threads == []
    assert "two" in heard


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_listener_outlives_its_connection(database: Database) -> None:
    heard: list[str] = []
    listener = Listener(database, "ear", heard.append)
    listener.start()
    with psycopg.connect(database.url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        ).fetchall()
    assert ended == [(True,)]
    try:
        with bell_of(database) as bell:

            def rung() -> bool:
                bell.ring()
                return bool(heard)

            wait_until(rung, "a hint is heard again", timeout=10)
    finally:
        listener.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_manager_outlives_the_end_of_all_its_connections(database: Database) -> None:
    with managing(database, poll_seconds=0.2):
        first = submit(database)
        wait_until(lambda: completed(database, first))
        with psycopg.connect(database.url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        second = submit(database)
        wait_until(lambda: completed(database, second))

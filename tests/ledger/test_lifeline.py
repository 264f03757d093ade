"""The lifeline: held through whatever befalls its session, and what it says of itself."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from database import Database, Sql, pooler
from ledger import Lifeline, Proof, lifeline
from ledger.hints import Bell, Listener
from ledger.lifeline import KEY, LOCK, NO_PROOF, SERVER
from tests.support import wait_until

ME = "me"
PAST_SELECT = 1100

CUT = Sql("""
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")
HOLDERS = Sql("""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")
FORGET_STATISTICS = Sql("SELECT pg_stat_reset_shared('bgwriter')")
RUN = Sql(f"SELECT {SERVER}")

POSTGRES_ONLY = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@contextmanager
def held(database: Database) -> Iterator[Lifeline]:
    """A lifeline that has its lock."""
    line = Lifeline(database, ME)
    line.start()
    try:
        assert line.proof[:2] == (LOCK, 1)
        yield line
    finally:
        line.close()


def is_held(line: Lifeline, epoch: int) -> bool:
    return line.proof[:2] == (LOCK, epoch)


@POSTGRES_ONLY
def test_statistics_set_back_by_hand_cost_no_proof(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifeline, "CHECK_SECONDS", 0.02)
    with held(database) as line:
        told: list[Proof] = []
        line.changed = lambda: told.append(line.proof)
        before = line.proof
        database.read(FORGET_STATISTICS)
        ((now,),) = database.read(RUN)
        assert now != before.server
        wait_until(lambda: line.proof.server == now, "it learns which run of the server this is")
        # What it said at its start may only come now, on a busy machine.
        wait_until(lambda: told and told[-1].server == now, "and says so")
        assert told[-1] == Proof(LOCK, before.epoch, now), "the lock was never let go of"
        assert database.read(HOLDERS) == [(1,)]


@POSTGRES_ONLY
def test_saying_so_never_delays_the_lock(database: Database) -> None:
    """A beat may hang for long on a database that is ill."""
    said, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        said.set()
        assert go_on.wait(60)

    with held(database) as line:
        line.changed = hang
        for epoch in (2, 3):
            database.read(CUT)
            wait_until(lambda epoch=epoch: is_held(line, epoch), "it has its lock again")  # type: ignore[misc]
        assert said.wait(20)
        go_on.set()


@POSTGRES_ONLY
def test_the_latest_is_said_in_the_end(database: Database) -> None:
    with held(database) as line:
        told: list[Proof] = []
        line.changed = lambda: told.append(line.proof)
        database.read(CUT)
        wait_until(lambda: told and told[-1][:2] == (LOCK, 2), "its new epoch is told")


@POSTGRES_ONLY
def test_what_fails_in_saying_so_ends_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    def fail() -> None:
        told.append(line.proof.epoch)
        raise ValueError("out of order")

    with held(database) as line:
        line.changed = fail
        for epoch in (2, 3):
            database.read(CUT)
            wait_until(lambda epoch=epoch: is_held(line, epoch), "it has its lock again")  # type: ignore[misc]
            wait_until(lambda epoch=epoch: epoch in told, "and tried to say so")  # type: ignore[misc]
    assert "out of order" in caplog.text


@contextmanager
def many_files() -> Iterator[None]:
    """Whatever is opened within has a number that `select` does not know."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * PAST_SELECT), hard))
    first = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    taken = [first]
    try:
        while taken[-1] < PAST_SELECT:
            taken.append(os.dup(first))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_holds_however_many_files_are_open(database_url: str) -> None:
    heard: list[str] = []
    with many_files():
        database = Database(database_url)
        listener, bell = Listener(database, ME, heard.append), Bell(database)
        with held(database) as line:
            listener.start()
            if database.path is None:
                database.read(CUT)
                wait_until(lambda: is_held(line, 2), "it has its lock again")
            bell.ring()
            wait_until(lambda: heard, "the listener hears")
        listener.close()
        bell.close()
        database.close()


@POSTGRES_ONLY
def test_behind_a_pooler_it_says_that_it_proves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the server may lead to a pooler from one day to the next."""
    direct = pooler.set_up

    def pooled(connection: Any) -> bool:
        direct(connection)
        return True

    with held(database) as line:
        told: list[Proof] = []
        line.changed = lambda: told.append(line.proof)
        database.close()
        monkeypatch.setattr(pooler, "set_up", pooled)
        with psycopg.connect(database.url, autocommit=True) as link:
            link.execute(CUT.postgres.replace("%%", "%"))
        wait_until(lambda: told and told[-1][:2] == (NO_PROOF, 1), "it says so")
        monkeypatch.undo()


class Odd(Database):
    """Fails in a way that nobody thought of, when told to; remembers when it was asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.fails = False
        self.asked: list[float] = []

    @contextmanager
    def session(self) -> Iterator[Any]:
        self.asked.append(time.monotonic())
        if self.fails:
            raise RuntimeError("nobody thought of this")
        with super().session() as connection:
            yield connection


@POSTGRES_ONLY
def test_it_outlives_what_nobody_thought_of(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    odd = Odd(database.url)
    with held(odd) as line:
        odd.fails = True
        database.read(CUT)
        wait_until(lambda: line.proof[:2] == (NO_PROOF, 1), "it says that it proves nothing")
        wait_until(lambda: "nobody thought of this" in caplog.text, "and why")
        odd.fails = False
        wait_until(lambda: is_held(line, 2), "it has its lock again")
    odd.close()


@POSTGRES_ONLY
def test_a_lock_that_another_has_is_asked_for_ever_less_often(database: Database) -> None:
    odd = Odd(database.url)
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({KEY.format(id='%s')})", (ME,))
        line = Lifeline(odd, ME)
        line.start()
        assert line.proof == Proof()
        wait_until(lambda: len(odd.asked) == 6, "it asks again")
        waits = [later - earlier for earlier, later in zip(odd.asked, odd.asked[1:], strict=False)]
        assert waits[3] > 0.7
        assert waits[4] > 0.9
    wait_until(lambda: is_held(line, 1), "it has its lock")
    line.close()
    with suppress(psycopg.Error):
        odd.close()

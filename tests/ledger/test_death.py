"""Proof of death: which managers count as dead, and what is taken back on that ground."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import ledger
from database import Database, Sql, Transaction
from ledger import Lifeline, ManagerCard, Proof, Suspect
from ledger.death import is_lock_free
from ledger.lifeline import UNPROVEN, lifeline_file
from models import FAILED, PENDING, WIP
from tests.factories import claim, submit
from tests.ledger import evidence
from tests.support import wait_until

ME, OTHER = "me", "other"
ELSEWHERE = "another boot/another name space/1/1"
CRASHED = Sql("UPDATE job_order SET crashes = 2 WHERE id = :id")
ROWS = Sql("SELECT id, state, ended_on IS NULL FROM manager ORDER BY id")
HELD = Sql("""
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""")
AFTER_RESTART = Sql("UPDATE manager SET server = 'an earlier run' WHERE id = 'other'")
POSTGRES_ONLY = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def ended_here() -> str:
    """The mark of a process of this host that is not there any more."""
    return f"{ledger.process_mark(os.getpid())}0"


@contextmanager
def living(database: Database, name: str = OTHER, process: str | None = None) -> Iterator[Lifeline]:
    """A manager that holds its lock, and is known; at the end its lock is free."""
    with holding(database, name) as lifeline:
        card = ManagerCard(
            id=name,
            host="h",
            pid=os.getpid(),
            version="0",
            transport="database",
            slots=1,
            queues=None,
            heartbeat_ms=5000,
            stale_ms=600_000,
            process=process or ended_here(),
            proof=lifeline.proof,
        )
        ledger.register(database, card)
        yield lifeline


@contextmanager
def holding(database: Database, name: str = OTHER) -> Iterator[Lifeline]:
    """The lock of this manager is held; at the end it is free."""
    lifeline = Lifeline(database, name)
    lifeline.start()
    path = database.path and lifeline_file(database.path, name)
    try:
        yield lifeline
    finally:
        lifeline.close()
        if path:
            path.touch()  # a process that is killed leaves its file there
        else:
            wait_until(lambda: database.read(HELD) == [(0,)], "the server has ended its session")


def dead(database: Database, name: str = OTHER, process: str | None = None) -> Suspect:
    """A manager that was killed, as another sees it."""
    with living(database, name, process):
        pass
    (found,) = (one for one in ledger.suspects(database, ME) if one.id == name)
    return found


def test_whoever_holds_its_lock_is_alive(database: Database) -> None:
    with living(database) as lifeline:
        assert lifeline.proof._replace(server=None) == Proof("lock", 1)
        assert (lifeline.proof.server is None) == (database.dialect == "sqlite")
        assert ledger.suspects(database, ME) == []
    assert ledger.suspects(database, ME) == [Suspect(OTHER, 1, gone=True)]
    assert ledger.suspects(database, OTHER) == []


def test_a_process_that_is_there_is_alive_whatever_became_of_its_lock(database: Database) -> None:
    with living(database, "running", ledger.process_mark(os.getpid())):
        pass
    dead(database, "elsewhere", ELSEWHERE)
    assert ledger.suspects(database, ME) == [Suspect("elsewhere", 1, gone=False)]


def test_a_process_that_ended_has_no_mark_not_even_as_a_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = ledger.process_mark(child.pid)
    assert mark is not None
    assert mark == ledger.process_mark(child.pid) != ledger.process_mark(os.getpid())
    assert child.stdin
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ledger.process_mark(child.pid) is None
    child.wait()
    assert ledger.process_mark(child.pid) is None


@POSTGRES_ONLY
def test_a_lock_of_an_earlier_run_of_the_server_proves_nothing(database: Database) -> None:
    suspect = dead(database)
    ledger.renew(database, OTHER, [], proof=Proof("lock", suspect.epoch, "an earlier run"))
    assert ledger.suspects(database, ME) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_is_gone_proves_nothing(database: Database) -> None:
    suspect = dead(database)
    assert database.path
    lifeline_file(database.path, suspect.id).unlink()
    assert ledger.suspects(database, ME) == []


def test_without_proof_or_after_its_end_none_is_suspected(database: Database) -> None:
    for name in ("unproven", "stopped"):
        dead(database, name)
    ledger.renew(database, "unproven", [], proof=UNPROVEN)
    ledger.retire(database, "stopped", "asked to")
    assert ledger.suspects(database, ME) == []


def test_a_forked_child_does_not_hold_it(database: Database) -> None:
    reading, writing = os.pipe()
    with living(database):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        alive = ledger.suspects(database, ME)
    dead = ledger.suspects(database, ME)
    os.close(writing)
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0
    assert (alive, dead) == ([], [Suspect(OTHER, 1, gone=True)])


def test_what_the_dead_held_is_taken_back_and_it_is_buried(database: Database) -> None:
    first, last = submit(database), submit(database)
    claim(database, OTHER, free=2)
    database.write(lambda transaction: transaction.run(CRASHED, {"id": database.key(last)}))
    submit(database)
    (kept,) = claim(database, ME)
    suspect = dead(database)
    assert not ledger.bury(database, suspect), "orders of it are left"
    taken = ledger.rescue_orphans(database, suspect)
    assert [(one.id, one.status) for one in taken] == [(first, PENDING), (last, FAILED)]
    assert ledger.rescue_orphans(database, suspect) == []
    assert ledger.find(database, kept.id).status == WIP
    assert "gone" in (ledger.history(database, first)[0].error or "")
    assert "gone" in (ledger.find(database, last).error or "")
    assert ledger.bury(database, suspect)
    assert not ledger.bury(database, suspect)
    assert database.read(ROWS) == [(OTHER, "lost", 0 if database.path else False)]
    assert [event.manager for event in evidence.events(database, "manager_lost")] == [OTHER]
    assert evidence.levels(database) == evidence.counted(database)


def test_who_took_its_lock_again_keeps_its_orders(database: Database) -> None:
    submit(database)
    (order,) = claim(database, OTHER)
    suspect = dead(database)
    ledger.renew(database, OTHER, [], proof=Proof("lock", suspect.epoch + 1, "this run"))
    assert ledger.rescue_orphans(database, suspect) == []
    assert not ledger.bury(database, suspect)
    assert ledger.find(database, order.id).status == WIP


def test_who_took_its_lock_again_and_could_not_say_so_yet_keeps_them_too(
    database: Database,
) -> None:
    """Its row still has the epoch that it was suspected under."""
    submit(database)
    (order,) = claim(database, OTHER)
    suspect = dead(database)
    with holding(database):
        assert ledger.rescue_orphans(database, suspect) == []
        assert not ledger.bury(database, suspect)
    assert ledger.find(database, order.id).status == WIP
    assert [one.id for one in ledger.rescue_orphans(database, suspect)] == [order.id]
    assert ledger.bury(database, suspect)


@POSTGRES_ONLY
def test_a_server_that_lost_all_locks_since_proves_nothing(database: Database) -> None:
    submit(database)
    (order,) = claim(database, OTHER)
    suspect = dead(database)
    database.write(lambda transaction: transaction.run(AFTER_RESTART))
    assert ledger.rescue_orphans(database, suspect) == []
    assert not ledger.bury(database, suspect)
    assert ledger.find(database, order.id).status == WIP


@POSTGRES_ONLY
def test_the_lock_is_nobodys_while_the_orders_are_taken(database: Database) -> None:
    suspect = dead(database)
    lifeline = Lifeline(database, OTHER)

    def taking(transaction: Transaction) -> None:
        assert is_lock_free(transaction, database, suspect)
        lifeline.start()
        assert lifeline.proof == UNPROVEN
        others = evidence.at_once([lambda: ledger.suspects(database, ME)] * 2)
        assert others == [[suspect]] * 2, "whoever else looks is not deceived"

    database.write(taking)
    wait_until(lambda: lifeline.proof.kind == "lock", "it takes its lock again")
    assert ledger.suspects(database, ME) == []
    lifeline.close()


@POSTGRES_ONLY
def test_a_beat_that_is_under_way_keeps_them_too(database: Database) -> None:
    submit(database)
    (order,) = claim(database, OTHER)
    suspect = dead(database)
    beat = Sql("UPDATE manager SET last_beat = {now} WHERE id = 'other'")

    def beating(transaction: Transaction) -> None:
        transaction.run(beat)
        (rescued,) = evidence.at_once([lambda: ledger.rescue_orphans(database, suspect)])
        assert rescued == []

    database.write(beating)
    assert ledger.find(database, order.id).status == WIP


def test_the_server_was_not_away_for_longer_than_it_runs(database: Database) -> None:
    uptime = ledger.server_uptime(database)
    assert uptime == float("inf") if database.path else 0 < uptime < 86_400

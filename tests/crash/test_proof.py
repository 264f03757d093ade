"""Proof of death: what is provably dead is taken over at once, and what lives never is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import ledger
from database import Sql, Transaction
from models import COMPLETED, WIP
from tests.crash.harness import Process, Site
from tests.ledger.evidence import events
from tests.support import wait_until

# Far beyond every wait in here: silence alone takes nothing back.
STALE = 600.0

ELSEWHERE = Sql("UPDATE manager SET process = 'another boot/another name space/1/1' WHERE id = :id")
ROW = Sql("SELECT state, proof, epoch, ended_on FROM manager WHERE id = :id")
SESSIONS = Sql(
    postgres="""
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
)


def row(site: Site, manager: str) -> tuple[str, str, int, int | None]:
    """State, proof, epoch and end of a manager, as its row says."""
    state, proof, epoch, ended_on = site.database.read(ROW, {"id": manager})[0]
    return state, proof, epoch, ended_on


def held(site: Site, manager: Process, kind: str = "deaf") -> tuple[str, str]:
    """An order that this manager runs until its gate opens, and the manager's name."""
    gate = site.gate()
    order = site.submit(kind, gate)
    site.began(order)
    name = site.name_of(manager)
    wait_until(lambda: site.order(order).manager == name, "it holds the order")
    return order, name


def test_the_work_of_a_killed_manager_is_taken_over_at_once(site: Site) -> None:
    (first,) = site.managers(1, stale_seconds=STALE)
    order, name = held(site, first)
    assert row(site, name)[:2] == ("running", "lock")
    (second,) = site.managers(1, stale_seconds=STALE)

    first.kill()
    site.began(order, lease=2)

    found = site.order(order)
    assert (found.crashes, found.attempts, found.lease) == (1, 2, 2)
    assert found.manager == site.name_of(second)
    (lost,) = ledger.history(site.database, order)
    assert (lost.outcome, lost.manager) == ("worker_lost", name)
    assert "gone" in json.loads(lost.error or "")["message"]
    wait_until(lambda: row(site, name)[0] == "lost", "its row says so")
    assert row(site, name)[3] is not None
    (event,) = events(site.database, "manager_lost")
    assert event.manager == name
    assert row(site, site.name_of(second))[:2] == ("running", "lock")


def test_a_manager_that_starts_later_takes_over_too(site: Site) -> None:
    (first,) = site.managers(1, stale_seconds=STALE)
    order, name = held(site, first)
    first.kill()
    site.managers(1, stale_seconds=STALE)
    site.began(order, lease=2)
    wait_until(lambda: row(site, name)[0] == "lost", "its row says so")


def test_on_another_host_a_death_is_found_too(site: Site) -> None:
    """Where nobody can see that its process is gone."""
    first, second = site.managers(2, stale_seconds=STALE)
    for one in (first, second):
        name = site.name_of(one)
        mark = {"id": name}
        site.database.write(lambda transaction, mark=mark: transaction.run(ELSEWHERE, mark))  # type: ignore[misc]
    order = site.submit("deaf", site.gate())
    site.began(order)
    holder = site.order(order).manager
    dead, living = (first, second) if site.name_of(first) == holder else (second, first)
    dead.kill()
    site.began(order, lease=2)
    (past,) = ledger.history(site.database, order)
    assert "nor took it again" in json.loads(past.error or "")["message"]
    assert row(site, site.name_of(living))[:2] == ("running", "lock")


def test_a_stopped_manager_is_not_dead(site: Site) -> None:
    stopped, killed = site.managers(2, stale_seconds=STALE, max_workers=1)
    orders = dict(_held_by(site, [stopped, killed]))
    stopped.freeze(site.lock)
    site.managers(1, stale_seconds=STALE)
    killed.kill()
    site.began(orders[killed.pid], lease=2)

    assert site.order(orders[stopped.pid]).lease == 1
    assert row(site, site.name_of(stopped))[0] == "running"
    stopped.thaw()
    gate_of(site, orders[stopped.pid]).touch()
    site.ends(orders[stopped.pid])
    found = site.order(orders[stopped.pid])
    assert (found.status, found.crashes, found.lease) == (COMPLETED, 0, 1)


def test_what_a_job_forked_does_not_keep_its_manager_alive(site: Site) -> None:
    (first,) = site.managers(1, stale_seconds=STALE)
    order, _ = held(site, first, "forking")
    site.managers(1, stale_seconds=STALE)
    first.kill()
    site.began(order, lease=2)


def test_a_manager_given_up_as_lost_is_there_again_with_its_next_beat(site: Site) -> None:
    (first,) = site.managers(1, stale_seconds=STALE)
    name = site.name_of(first)

    def lose(transaction: Transaction) -> None:
        lost = Sql("UPDATE manager SET state = 'lost', ended_on = {now} WHERE id = :id")
        transaction.run(lost, {"id": name})

    site.database.write(lose)
    wait_until(lambda: row(site, name) == ("running", "lock", 1, None), "it is there again")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_manager_that_only_lost_its_session_takes_its_lock_again(site: Site) -> None:
    (first,) = site.managers(1, stale_seconds=STALE)
    order, name = held(site, first)
    (second,) = site.managers(1, stale_seconds=STALE)
    for epoch in (2, 3):
        site.database.read(SESSIONS)
        for one in (name, site.name_of(second)):
            wait_until(partial(_has_its_lock, site, one, epoch), f"{one} takes its lock again")
    found = site.order(order)
    assert (found.status, found.crashes, found.lease) == (WIP, 0, 1)
    first.kill()
    site.began(order, lease=2)


def _has_its_lock(site: Site, manager: str, epoch: int) -> bool:
    return row(site, manager)[1:3] == ("lock", epoch)


def _held_by(site: Site, managers: list[Process]) -> list[tuple[int, str]]:
    """One order for each of these managers of one worker: which has which."""
    orders = [site.submit("deaf", site.gate()) for _ in managers]
    for order in orders:
        site.began(order)
    pairs = [(effect.pid, effect.order) for effect in site.effects.all("began")]
    assert {pid for pid, _ in pairs} == {manager.pid for manager in managers}
    return pairs


def gate_of(site: Site, order: str) -> Path:
    """The file that lets the order's job go on."""
    return Path(json.loads(site.order(order).payload)["gate"], "all")

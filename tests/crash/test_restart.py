"""PostgreSQL restarted, crashed and cut off under running orders: no living manager is blamed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

import ledger
from database import DatabaseAway, Sql
from models import COMPLETED, WIP
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events
from tests.servers.cut import Wire
from tests.servers.postgres import PostgresServer, StopMode
from tests.support import wait_until

# Far beyond every wait in here: only a proof, right or wrong, takes anything back.
STALE = 600.0
SHORT = 3.0
LAPSED = "leases can no longer be trusted"
PROOFS = Sql("SELECT proof, epoch FROM manager WHERE ended_on IS NULL")
VICTIM = Sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database() LIMIT 1")


@pytest.fixture
def site(served_site: Site) -> Site:
    return served_site


def restart(server: PostgresServer, mode: StopMode) -> None:
    server.stop(mode)
    server.start()


def crash_one_backend(site: Site) -> None:
    """Kill one of the server's processes: it then starts itself anew, by itself."""
    with psycopg.connect(site.url, autocommit=True) as link:
        (pid,) = link.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            link.execute("SELECT pg_sleep(20)")
    wait_until(lambda: is_there(site), "the server is there again")


def is_there(site: Site) -> bool:
    try:
        return bool(site.database.read(VICTIM))
    except DatabaseAway:
        return False


def have_their_locks(site: Site, epoch: int) -> bool:
    """Whether all managers hold their locks, taken for this many times at least."""
    try:
        rows = site.database.read(PROOFS)
    except DatabaseAway:
        return False
    return all(proof == "lock" and taken >= epoch for proof, taken in rows)


def test_three_restarts_under_running_orders_count_no_crash(
    site: Site, server: PostgresServer
) -> None:
    managers = site.managers(3, stale_seconds=STALE, max_workers=2)
    gate = site.gate()
    orders = site.submit_many("deaf", 6, gate)
    for order in orders:
        site.began(order)
    outages: list[Callable[[], None]] = [
        lambda: restart(server, "fast"),
        lambda: crash_one_backend(site),
        lambda: restart(server, "immediate"),
    ]
    for nth, outage in enumerate(outages, start=2):
        outage()
        wait_until(partial(have_their_locks, site, nth), "all managers have their locks again")
    # A death is proven now, and the same detectors saw every one of these orders as well.
    managers[0].kill()
    lost = [e.order for e in site.effects.all("began") if e.pid == managers[0].pid]
    wait_until(lambda: events(site.database, "manager_lost"), "its death is proven")
    gate.open()
    site.ends(*orders)
    for order in orders:
        row, again = site.order(order), order in lost
        assert (row.status, row.crashes, row.lease) == (COMPLETED, int(again), 1 + again)
    assert len(lost) == 2
    assert {one for event in events(site.database, "rescued") for one in event.ids} == set(lost)


def test_one_that_slept_through_the_restart_is_not_dead(site: Site, server: PostgresServer) -> None:
    """It cannot take its lock again, and still nobody may take that for its death."""
    (sleeper,) = site.managers(1, stale_seconds=STALE)
    gate = site.gate()
    order = site.submit("deaf", gate)
    site.began(order)
    wait_until(lambda: site.order(order).started_on is not None, "a heartbeat says it began")
    sleeper.freeze()
    restart(server, "fast")
    site.managers(2, stale_seconds=STALE)
    other = site.submit("deaf", site.gate())
    site.began(other)
    holder = next(e.pid for e in site.effects.all("began", other))
    next(one for one in site.processes if one.pid == holder).kill()
    site.began(other, lease=2)  # by now a death that came later was found
    assert (site.order(order).status, site.order(order).lease) == (WIP, 1)
    sleeper.thaw()
    gate.open()
    site.ends(order)
    assert site.order(order).crashes == 0


@contextmanager
def watched(site: Site, order: str) -> Iterator[list[float]]:
    """When the order was first seen under its second lease (monotonic seconds)."""
    seen: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            if not seen and site.order(order).lease > 1:
                seen.append(time.monotonic())
        site.database.close()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def test_one_that_is_cut_off_stops_its_work_before_another_takes_it(
    site: Site, server: PostgresServer
) -> None:
    with Wire(server.port) as wire:
        (cut_off,) = site.managers(1, stale_seconds=SHORT, database_url=wire.url(site.url))
        order = site.submit("obedient", site.gate())
        site.began(order)
        wait_until(lambda: site.order(order).started_on is not None, "a heartbeat says it began")
        site.managers(1, stale_seconds=SHORT)
        with watched(site, order) as taken:
            since = time.monotonic()
            wire.cut()
            wait_until(lambda: ("told", 1) in site.effects.words(order), "its job is told to stop")
            assert not taken
            assert site.order(order).lease == 1
            site.began(order, lease=2)
            wait_until(lambda: taken, "the order is seen under its second lease")
        assert taken[0] - since >= SHORT * 0.8
        cut_off.says(LAPSED)
        wire.mend()
        cut_off.says("heartbeat is back")
    assert cut_off.is_alive()
    assert ledger.find(site.database, order).crashes == 1
    assert counted(site.database) == {WIP: 1}

"""Orders in processes of their own: killed when they must be, harmless to all others."""

from __future__ import annotations

import json
import signal
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

import ledger
from ledger import OrderRow
from ledger.hints import CANCEL, Bell
from models import CANCELLED, COMPLETED, FAILED, PENDING
from tests.crash.harness import Process, Site
from tests.ledger.evidence import events
from tests.support import wait_until

STALE = 1.0
TIMEOUT_MS = 500
SOON = 10.0


def began_apart(site: Site, order: str) -> list[int]:
    """Wait until this order's job has begun; its process, and the daemon that it started."""
    site.began(order)
    return [site.effects.all(word, order)[-1].pid for word in ("began", "daemon")]


def all_gone(*pids: int) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


def family(site: Site) -> set[int]:
    """Every process but this one that has the site's database in its environment."""
    mark = f"DATABASE_URL={site.url}".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found


def error(row: OrderRow) -> dict[str, object]:
    told: dict[str, object] = json.loads(row.error or "{}")
    return told


def serves_on(site: Site, manager: Process) -> None:
    """The manager lives, and has a worker for the next order."""
    later = site.submit("mark")
    site.ends(later)
    assert {effect.pid for effect in site.effects.all(order=later)} == {manager.pid}


def test_an_order_that_kills_its_process_harms_no_other(site: Site) -> None:
    """Beside three innocents it takes its manager down; from then on only itself."""
    gate, deadly = site.gate(), site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    innocents = site.submit_many("deaf", 3, gate)
    guilty = site.submit("lethal", deadly)
    for order in (*innocents, guilty):
        site.began(order)
    deadly.open()
    assert first.wait() == 7

    (second,) = site.managers(1, stale_seconds=STALE)
    for order in innocents:
        site.began(order, lease=2)
    site.ends(guilty)
    gate.open()
    site.ends(*innocents)

    row = site.order(guilty)
    assert (row.status, row.crashes, row.attempts) == (FAILED, 3, 3)
    assert error(row)["type"] == "Crashed"
    assert error(row)["exitCode"] == 7
    lost, crashed = ledger.history(site.database, guilty)
    assert (lost.outcome, crashed.outcome) == ("worker_lost", "crashed")
    for order in innocents:
        row = site.order(order)
        assert (row.status, row.crashes, row.attempts) == (COMPLETED, 1, 2)
        assert row.manager == site.name_of(second)
    pids = {effect.pid for effect in site.effects.all("began") if effect.lease == 2}
    assert len(pids) == 4
    assert second.pid not in pids
    serves_on(site, second)


@pytest.mark.parametrize("outlived", [False, True], ids=["alone", "with another manager"])
def test_nothing_outlives_a_killed_manager(site: Site, outlived: bool) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    orders = site.submit_many("apart", 2, gate)
    pids = [pid for order in orders for pid in began_apart(site, order)]
    assert {first.pid, *pids} < family(site)
    if outlived:
        site.managers(1, stale_seconds=STALE)
    others = {process.pid for process in site.processes} - {first.pid}

    first.kill()

    wait_until(lambda: all_gone(*pids), "the jobs and their daemons are gone", SOON)
    if outlived:
        gate.open()
        site.ends(*orders)
        assert {site.order(order).crashes for order in orders} == {1}
        site.processes[-1].terminate()
        assert site.processes[-1].wait() == 0
    else:
        wait_until(lambda: family(site) == others, "so are their wardens", SOON)


def test_a_fork_that_returns_from_its_job_has_no_part_in_the_manager(site: Site) -> None:
    """It is a copy of one thread of it, and would take up what waits."""
    short = site.submit_many("mark", 20)
    (manager,) = site.managers(1, max_workers=1)
    site.ends(*short)
    orders = [one for _ in range(3) for one in site.submit_many("doubled", 1)]
    orders += site.submit_many("mark", 50)
    site.ends(*orders)
    ended = site.effects.all("ended")
    assert len(ended) == len(short) + len(orders)
    assert {effect.pid for effect in ended} == {manager.pid}
    assert [site.order(one).status for one in orders] == [COMPLETED] * len(orders)
    assert psutil.Process(manager.pid).children(recursive=True) == []


def test_nor_does_it_when_a_job_in_a_thread_has_forked(site: Site) -> None:
    """The fork is a copy of the manager with all that this had open."""
    (first,) = site.managers(1, stale_seconds=STALE)
    order = site.submit("apart", site.gate())
    pids = began_apart(site, order)
    site.began(site.submit("forking", site.gate()))
    first.kill()
    wait_until(lambda: all_gone(*pids), "the job and its daemon are gone", SOON)


def test_a_job_of_a_stopped_manager_ends_before_another_begins_it_anew(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    order = site.submit("apart", gate)
    pids = began_apart(site, order)
    site.managers(1, stale_seconds=STALE)
    first.freeze(site.lock)
    site.began(order, lease=2)
    assert all_gone(*pids)
    first.thaw()
    gate.open()
    site.ends(order)
    assert (site.order(order).lease, site.order(order).crashes) == (2, 1)
    serves = site.submit_many("mark", 4)
    site.ends(*serves)


def test_at_its_deadline_all_of_it_ends_and_the_slot_is_free(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1, max_workers=1)
    orders = site.submit_many("apart", 3, gate, timeout_ms=TIMEOUT_MS, max_attempts=1)
    site.ends(*orders)
    for order in orders:
        row = site.order(order)
        assert (row.status, row.attempts, row.crashes) == (FAILED, 1, 0)
        assert all_gone(*(effect.pid for effect in site.effects.all(order=order)))
        assert error(row)["type"] == "TimedOut"
        assert error(row)["signal"] == "SIGKILL"
        assert "in deaf" in str(error(row)["traceback"])
        assert row.run_ms is not None
        assert row.run_ms >= TIMEOUT_MS
    assert "too many hung threads" not in manager.output, "none was left behind"
    serves_on(site, manager)


def test_silence_ends_it_too(site: Site) -> None:
    site.managers(1, max_workers=1)
    order = site.submit("apart", site.gate(), max_silence_ms=TIMEOUT_MS, max_attempts=1)
    site.ends(order)
    assert error(site.order(order))["type"] == "Silent"
    assert all_gone(*(effect.pid for effect in site.effects.all(order=order)))


def test_after_its_deadline_it_is_tried_again(site: Site) -> None:
    gate = site.gate()
    gate.open(lease=2)
    site.managers(1, max_workers=1)
    order = site.submit("apart", gate, timeout_ms=TIMEOUT_MS, max_attempts=2)
    site.ends(order)
    row = site.order(order)
    assert (row.status, row.attempts, row.crashes) == (COMPLETED, 2, 0)
    (past,) = ledger.history(site.database, order)
    assert past.outcome == "timed_out"
    assert len(events(site.database, "completed")) == 1


def test_a_cancel_kills_it(site: Site) -> None:
    (manager,) = site.managers(1, max_workers=1)
    order = site.submit("apart", site.gate())
    pids = began_apart(site, order)
    before = ledger.cancel(site.database, order)
    with closing(Bell(site.database)) as bell:
        bell.ring(CANCEL)
    wait_until(lambda: all_gone(*pids), "all of it is gone", SOON)
    serves_on(site, manager)
    assert site.order(order) == before
    assert before.status == CANCELLED
    assert ledger.history(site.database, order) == []


def test_a_stop_hands_it_back_and_leaves_nothing(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1, grace_seconds=0.5)
    order = site.submit("apart", gate)
    pids = began_apart(site, order)
    manager.terminate()
    assert manager.wait() == 0
    wait_until(lambda: all_gone(*pids), "all of it is gone", SOON)
    row = site.order(order)
    assert (row.status, row.attempts, row.crashes) == (PENDING, 0, 0)
    wait_until(lambda: not family(site), "so is its warden", SOON)


def test_a_termination_of_every_process_lets_it_finish(site: Site) -> None:
    """As some platforms stop a service: each of its processes gets the signal."""
    gate = site.gate()
    (manager,) = site.managers(1, grace_seconds=20)
    order = site.submit("apart", gate)
    pids = began_apart(site, order)
    for pid in family(site):
        with suppress(ProcessLookupError):
            psutil.Process(pid).send_signal(signal.SIGTERM)
    manager.says("manager stopping")
    gate.open()
    assert manager.wait() == 0
    row = site.order(order)
    assert (row.status, row.attempts, row.crashes) == (COMPLETED, 1, 0)
    wait_until(lambda: all_gone(*pids), "nothing is left", SOON)

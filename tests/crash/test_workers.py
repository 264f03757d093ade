"""The registry with real processes: the killed, the stopped, and what each worker uses."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

import ledger
from database import Sql
from ledger import NewOrder, Request
from ledger.workers import WorkerRow, crews, workers
from models import COMPLETED, WIP
from tests.crash.harness import Api, Process, Site
from tests.ledger.evidence import events
from tests.support import wait_until

POINTS = 5.0
WRITTEN = Sql("SELECT seen_on, id FROM worker WHERE order_id = :id")
BURNERS = "tests.crash.burners"


def rows(site: Site, manager: Process | None = None) -> list[WorkerRow]:
    """The workers of one manager, or of all."""
    found = workers(site.database, 500)
    if manager is None:
        return found
    pids = {crew.id: crew.pid for crew in crews(site.database)}
    return [row for row in found if pids.get(row.manager) == manager.pid]


def has(site: Site, order: str) -> WorkerRow:
    """The worker that has this order, once it is known."""
    found: list[WorkerRow] = []

    def known() -> bool:
        found[:] = [row for row in rows(site) if row.order_id == order and row.state == "busy"]
        return bool(found)

    wait_until(known, f"a worker has {order}")
    return found[0]


def answer(api: Api, path: str = "/api/v1/workers") -> Any:
    return json.loads(api.ask(path).body)


def test_the_workers_of_a_killed_manager_read_as_lost_and_say_what_became_of_their_orders(
    site: Site,
) -> None:
    gate = site.gate()
    (victim,) = site.managers(1)
    order = site.submit("deaf", gate)
    worker = has(site, order)
    (heir,) = site.managers(1)
    victim.kill()
    wait_until(lambda: {row.state for row in rows(site, victim)} == {"lost"}, "they are lost")
    crew = {one.pid: one.state for one in crews(site.database)}
    assert crew == {victim.pid: "lost", heir.pid: "running"}
    site.began(order, 2)
    (was,) = (row for row in rows(site, victim) if row.order_id == order)
    assert (was.id, was.order_status, was.assigned, was.cpu) == (worker.id, WIP, 0, None)
    assert has(site, order).manager == site.name_of(heir)
    gate.open()
    site.ends(order)
    (was,) = (row for row in rows(site, victim) if row.order_id == order)
    assert was.order_status == COMPLETED


def test_a_manager_that_is_stopped_drains_and_its_workers_vanish(site: Site) -> None:
    gate = site.gate()
    api = site.api()
    (manager,) = site.managers(1, grace_seconds=20, min_workers=2)
    order = site.submit("deaf", gate)
    has(site, order)
    wait_until(lambda: answer(api, "/api/v1/metrics")["workers"] == {"active": 1, "idle": 1})
    manager.terminate()
    wait_until(lambda: {row.state for row in rows(site)} == {"draining"}, "they drain")
    assert [one["state"] for one in answer(api)["managers"]] == ["draining"]
    gate.open()
    assert manager.wait() == 0
    assert answer(api) == {"items": [], "nextCursor": None, "managers": []}
    assert site.order(order).status == COMPLETED


def test_no_worker_is_ever_named_as_another_was(site: Site) -> None:
    names: list[str] = []
    for _ in range(2):
        (manager,) = site.managers(1, min_workers=2)
        wait_until(lambda: len(rows(site)) == 2, "they are there before there is work")
        names += [row.id for row in rows(site)]
        order = site.submit("mark")
        site.ends(order)
        assert site.order(order).worker in names
        manager.terminate()
        manager.wait()
    assert len(set(names)) == 4


def test_a_worker_whose_child_is_killed_gets_another_and_is_not_lost(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1)
    order = site.submit("apart", gate)
    worker = has(site, order)
    wait_until(lambda: rows(site)[0].kind == "process")
    site.began(order)
    os.kill(site.effects.all("began", order)[0].pid, signal.SIGKILL)
    wait_until(lambda: events(site.database, "worker_replaced"), "it is told")
    (replaced,) = events(site.database, "worker_replaced")
    assert (replaced.ids, replaced.manager) == ([order], worker.manager)
    assert replaced.data == {"workers": [worker.id], "why": ["Crashed"]}
    gate.open()
    site.ends(order)
    wait_until(lambda: {row.state for row in rows(site)} == {"idle"}, "its thread serves on")
    assert worker.id in {row.id for row in rows(site)}
    assert not events(site.database, "worker_lost")
    assert manager.is_alive()


def seconds_of_threads(pid: int) -> Callable[[], float]:
    """Asks what the busiest thread of a process has used."""
    return lambda: max(t.user_time + t.system_time for t in psutil.Process(pid).threads())


def seconds_of_tree(pid: int) -> Callable[[], float]:
    """Asks what a process and all below it have used."""
    found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return lambda: sum(sum(process.cpu_times()[:2]) for process in found)


def written(site: Site, order: str) -> WorkerRow:
    """The worker that has an order, when it was just written anew."""

    def latest() -> tuple[int, str]:
        ((seen, worker),) = site.database.read(WRITTEN, {"id": site.database.key(order)})
        return seen, worker

    before = latest()
    wait_until(lambda: latest() != before, "its worker is written again")
    (row,) = (row for row in rows(site) if row.order_id == order)
    return row


def compared(site: Site, order: str, used: Callable[[], float]) -> tuple[float, float]:
    """The percent that the registry says of an order's worker, and the kernel of that time."""
    written(site, order)
    before, began = used(), time.monotonic()
    row = written(site, order)
    after, passed = used(), time.monotonic() - began
    assert row.cpu is not None
    return row.cpu, (after - before) / passed * 100


def burning(site: Site, kind: str) -> str:
    """An order of a job that burns, at work, with nothing new about it any more."""
    (order,) = ledger.submit(
        site.database, [Request([NewOrder(ledger.new_id(), f"burn.{kind}", "{}")])]
    )[0].ids
    has(site, order)
    written(site, order)
    return order


def test_threads_use_what_the_kernel_says(site: Site) -> None:
    (manager,) = site.managers(1, jobs=BURNERS, grace_seconds=1)
    resting, order = burning(site, "rest"), burning(site, "thread")
    shown, kernel = compared(site, order, seconds_of_threads(manager.pid))
    assert shown == pytest.approx(kernel, abs=POINTS)
    assert shown > POINTS
    row = written(site, resting)
    assert row.cpu == pytest.approx(0, abs=POINTS)
    assert row.ram_mb == pytest.approx(
        psutil.Process(manager.pid).memory_info().rss / 2**20, rel=0.1
    )


def test_a_child_with_two_processes_uses_what_the_kernel_says(site: Site) -> None:
    (manager,) = site.managers(1, jobs=BURNERS, grace_seconds=1)
    order = burning(site, "twice")
    (warden,) = psutil.Process(manager.pid).children()
    wait_until(lambda: len(warden.children(recursive=True)) == 2)
    shown, kernel = compared(site, order, seconds_of_tree(warden.pid))
    assert shown == pytest.approx(kernel, abs=2 * POINTS)
    assert shown > POINTS
    row = written(site, order)
    assert row.kind == "process"
    held = [
        process.memory_full_info().pss for process in (warden, *warden.children(recursive=True))
    ]
    assert row.ram_mb == pytest.approx(sum(held) / 2**20, rel=0.1)

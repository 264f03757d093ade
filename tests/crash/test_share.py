"""Several managers on one load."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any

from ledger.hints import Bell
from models import COMPLETED, PENDING
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.support import wait_until

LOAD = 2_000
JOBS = "tests.crash.jobs,tests.crash.paced"


def paced(site: Site, count: int, ms: int, queue: str = "default") -> list[str]:
    return site.submit_many("paced", count, queue=queue, payload=site.effects.payload(ms=ms))


def shares(site: Site, orders: list[str]) -> list[int]:
    """How many of these orders each manager ran, sorted."""
    pids = Counter(effect.pid for one in orders for effect in site.effects.all("began", one))
    return sorted(pids[process.pid] for process in site.processes)


def three_with_one_worker(site: Site, kind: str, **settings: Any) -> None:
    """Managers that have measured, each on a queue of its own, how short this type is."""
    for nth in range(3):
        own = {"queues": f"default,own-{nth}", "max_workers": 1, "jobs": JOBS}
        site.managers(1, **own | settings)
        orders = (
            paced(site, 20, 1, f"own-{nth}")
            if kind == "paced"
            else site.submit_many(kind, 20, queue=f"own-{nth}")
        )
        with closing(Bell(site.database)) as bell:
            bell.ring()
        site.ends(*orders)


def test_each_order_runs_exactly_once(site: Site) -> None:
    gate = site.gate()
    managers = site.managers(2, max_workers=2)
    held = site.submit_many("deaf", 4, gate)
    for order in held:
        site.began(order)
    shares = Counter(effect.pid for effect in site.effects.all("began"))
    assert shares == {manager.pid: 2 for manager in managers}
    load = [order for _ in range(20) for order in site.submit_many("mark", LOAD // 20)]
    gate.open()
    site.ends(*held, *load, timeout=60)

    assert counted(site.database) == {COMPLETED: LOAD + 4} == levels(site.database)
    for word in ("began", "ended"):
        assert sorted(e.order for e in site.effects.all(word)) == sorted([*held, *load])
    recorded = Counter(one for event in events(site.database, "completed") for one in event.ids)
    assert recorded == Counter([*held, *load])
    assert {effect.lease for effect in site.effects.all()} == {1}


def test_short_orders_do_not_wait_behind_long_ones_while_a_manager_is_idle(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, max_workers=2)
    site.ends(*site.submit_many("mark", 100))  # it knows now how short they are
    for order in site.submit_many("deaf", 2, gate):
        site.began(order)
    short = site.submit_many("mark", 100)
    (second,) = site.managers(1, max_workers=2)
    site.ends(*short)
    assert {e.pid for one in short for e in site.effects.all(order=one)} == {second.pid}
    assert first.is_alive()


def test_three_managers_of_one_worker_share_ten_long_orders_evenly(site: Site) -> None:
    """Woken at once, with a poll so long that whoever found nothing then would miss its share."""
    three_with_one_worker(site, "mark", poll_seconds=60)
    orders = paced(site, 10, 400)
    with closing(Bell(site.database)) as bell:
        bell.ring()
    site.ends(*orders)
    assert shares(site, orders) == [3, 3, 4]


def test_a_type_that_turns_long_is_shared_all_the_same(site: Site) -> None:
    three_with_one_worker(site, "paced")
    orders = paced(site, 12, 400)
    site.ends(*orders)
    assert min(shares(site, orders)) >= 2
    assert {(site.order(one).status, site.order(one).attempts) for one in orders} == {
        (COMPLETED, 1)
    }
    assert len(site.effects.all("began")) == 3 * 20 + len(orders), "none ran twice"


def test_a_type_that_a_manager_does_not_know_is_left_to_others(site: Site) -> None:
    (stranger,) = site.managers(1, jobs=None)
    order = site.submit("mark")
    wait_until(lambda: events(site.database, "unknown_type"), "it is handed back")

    row = site.order(order)
    assert (row.status, row.attempts, row.crashes, row.lease) == (PENDING, 0, 0, 1)
    assert row.manager is None
    assert row.run_at - row.last_updated == 30_000
    (event,) = events(site.database, "unknown_type")
    assert (event.ids, event.manager) == ([order], site.name_of(stranger))
    assert site.effects.all() == []

    sum_of_two = site.submit("mark", type="add", payload='{"num1":1,"num2":2}')
    site.ends(sum_of_two)
    assert site.order(sum_of_two).result == "3"
    assert site.order(order) == row

"""Several managers on one load."""

from __future__ import annotations

from collections import Counter

from models import COMPLETED, PENDING
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.support import wait_until

LOAD = 2_000


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

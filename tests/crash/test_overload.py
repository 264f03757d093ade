"""More work than the managers can do: who comes first, whose turn it is, and what a pause stops."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import ledger
from manager.lanes import BOUNDS_MS, ROUND
from manager.pace import STOCK_SECONDS
from models import PENDING, PRIORITIES
from tests.crash.harness import Process, Site
from tests.ledger.evidence import events
from tests.support import wait_until

JOBS = "tests.crash.jobs,tests.crash.paced"
HIGH, NORMAL, LOW = PRIORITIES.values()


def overdue() -> dict[str, Any]:
    """Columns of an order past the bound of every class: one of a schedule, made late."""
    run_at = int(time.time() * 1000) - 2 * max(BOUNDS_MS.values())
    return {"run_at": run_at, "schedule": "missed"}


def start(site: Site, count: int = 1, **settings: Any) -> list[Process]:
    return site.managers(count, jobs=JOBS, **{"max_workers": 2} | settings)


def submit(site: Site, count: int, ms: int, **columns: Any) -> list[str]:
    """Orders that take so many milliseconds each."""
    return site.submit_many("paced", count, payload=site.effects.payload(ms=ms), **columns)


def begun(site: Site) -> list[str]:
    """The orders that began, in that order."""
    return [effect.order for effect in site.effects.all("began")]


def test_an_overdue_low_order_runs_within_ten_claims_of_an_overload_of_high(site: Site) -> None:
    start(site)
    high = set(submit(site, 1_500, 10, priority=HIGH))
    wait_until(lambda: len(begun(site)) > 50, "the overload is being worked off")
    before = len(events(site.database, "claimed"))
    (low,) = submit(site, 1, 10, priority=LOW, **overdue())
    site.began(low)

    claims = [event.ids for event in events(site.database, "claimed")]
    (place,) = (nth for nth, ids in enumerate(claims) if low in ids)
    # One claim may have been under way when it was submitted.
    assert place - before <= ROUND + 1
    assert len(high - set(begun(site))) > 100, "the overload has lasted until then"


def test_a_fresh_high_order_never_waits_behind_an_overdue_backlog_of_low(site: Site) -> None:
    ms, workers = 40, 2
    start(site, max_workers=workers)
    low = set(submit(site, 1_000, ms, priority=LOW, **overdue()))
    waits = []
    for _ in range(5):
        sofar = len(begun(site))
        wait_until(lambda sofar=sofar: len(begun(site)) > sofar + 2 * workers, "low ones run")  # type: ignore[misc]
        (high,) = submit(site, 1, ms, priority=HIGH)
        ahead = len(begun(site))
        site.began(high)
        waits.append(begun(site).index(high) - ahead)
    # What is claimed ahead for the workers, twice: the claim may be one that serves `low` first.
    assert max(waits) <= 2 * workers * (1 + STOCK_SECONDS * 1000 / ms), waits
    assert len(low - set(begun(site))) > 500, "most of the backlog is still there"


def test_queues_with_deep_backlogs_get_an_even_share(site: Site) -> None:
    """Past their bound, too, where one claim in ten has an order of its own."""
    queues, turns = 20, 5
    backlog = {
        order: queue
        for queue in range(queues)
        for order in submit(site, 3 * turns, 60, queue=f"queue-{queue}", **overdue())
    }
    start(site)
    wait_until(lambda: len(begun(site)) >= queues * turns, "each queue had its turns")
    shares = Counter(backlog[order] for order in begun(site)[: queues * turns])
    assert {turns - 2 <= shares[queue] <= turns + 2 for queue in range(queues)} == {True}, shares


def test_a_manager_serves_the_queues_that_it_was_told_to_and_no_other(site: Site) -> None:
    first, second = start(site, queues="a"), start(site, queues="b,c")
    orders = {queue: site.submit_many("mark", 20, queue=queue) for queue in "abcd"}
    site.ends(*orders["a"], *orders["b"], *orders["c"])
    servants = {
        queue: {effect.pid for one in ids for effect in site.effects.all("began", one)}
        for queue, ids in orders.items()
    }
    mine, other = first[0].pid, second[0].pid
    assert servants == {"a": {mine}, "b": {other}, "c": {other}, "d": set()}
    assert {site.order(one).status for one in orders["d"]} == {PENDING}


def test_a_pause_stops_the_claims_and_nothing_else(site: Site) -> None:
    start(site, 2)
    a, b = (submit(site, 400, 5, queue=queue) for queue in "ab")
    wait_until(lambda: len({*begun(site)} & {*a}) > 50, "orders flow")
    ledger.pause(site.database, "a")
    taken = claimed(site, a)
    site.ends(*b)
    assert claimed(site, a) == taken, "claimed after the pause"
    site.ends(*taken)

    ledger.resume(site.database, "a")
    wait_until(lambda: len(begun(site)) > len(b) + len(taken) + 50, "orders flow again")
    ledger.pause(site.database)
    taken = claimed(site, a)
    assert len(taken) < len(a)
    site.ends(*taken)
    ledger.resume(site.database, "a")
    (canary,) = submit(site, 1, 5, queue="a", priority=HIGH)
    assert claimed(site, [*a, canary]) == taken, "one queue's resume does not lift the pause of all"
    ledger.resume(site.database)
    site.ends(*a, canary)
    assert len(begun(site)) == len(set(begun(site))) == len(a) + len(b) + 1


def claimed(site: Site, orders: list[str]) -> set[str]:
    """Which of these orders were ever claimed."""
    ever = {one for event in events(site.database, "claimed") for one in event.ids}
    return ever & set(orders)

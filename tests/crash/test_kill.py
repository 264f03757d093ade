"""A manager that dies, and one that was only stopped and comes back."""

from __future__ import annotations

import json

import pytest

import ledger
from models import CANCELLED, COMPLETED
from tests.crash.harness import Site
from tests.ledger.evidence import events
from tests.support import wait_until

STALE = 1.0


def kinds(site: Site, order: str) -> list[str]:
    """What happened to an order, in its order."""
    return [event.kind for event in events(site.database) if order in event.ids]


def test_an_order_survives_the_kill_of_its_manager(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    order = site.submit("deaf", gate)
    site.began(order)
    wait_until(lambda: site.order(order).started_on is not None, "a heartbeat says it began")
    (second,) = site.managers(1, stale_seconds=STALE)

    first.kill()
    gate.open(lease=2)
    site.ends(order)

    row = site.order(order)
    assert (row.status, row.attempts, row.crashes, row.lease) == (COMPLETED, 2, 1, 2)
    assert row.manager == site.name_of(second)
    result = json.loads(row.result or "")
    assert (result["lease"], site.runs_under(result["pid"])) == (2, second.pid)
    (lost,) = ledger.history(site.database, order)
    assert (lost.lease, lost.number, lost.outcome) == (1, 1, "worker_lost")
    assert lost.manager == site.name_of(first)
    assert lost.worker is not None
    assert lost.worker.startswith(site.name_of(first))
    assert lost.started_on is not None
    assert json.loads(lost.error or "")["type"] == "WorkerLost"
    assert kinds(site, order) == ["submitted", "claimed", "rescued", "claimed", "completed"]
    assert [(e.word, e.attempt, e.lease, e.pid) for e in site.effects.all()] == [
        ("began", 1, 1, first.pid),
        ("began", 2, 2, result["pid"]),
        ("ended", 2, 2, result["pid"]),
    ]


def test_orders_that_waited_for_a_worker_survive_it_too(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE, max_workers=2)
    marks = site.submit_many("mark", 50)
    site.ends(*marks)  # from now on it knows that marks are short, and claims them ahead
    held = site.submit_many("deaf", 2, gate)
    for order in held:
        site.began(order)
    waiting = site.submit_many("mark", 50)

    first.kill()
    gate.open()
    site.managers(1, stale_seconds=STALE)
    site.ends(*held, *waiting)

    for order in waiting:
        row = site.order(order)
        assert (row.status, row.attempts) == (COMPLETED, row.crashes + 1)
        assert [e.word for e in site.effects.all(order=order)] == ["began", "ended"]
    for order in held:
        assert site.effects.words(order) == [("began", 1), ("began", 2), ("ended", 2)]


@pytest.mark.parametrize("second_ends", ["after", "before"])
def test_a_manager_that_was_stopped_changes_nothing_and_serves_on(
    site: Site, second_ends: str
) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    order = site.submit("deaf", gate)
    site.began(order)
    first.freeze(site.lock)
    (second,) = site.managers(1, stale_seconds=STALE)
    site.began(order, lease=2)
    if second_ends == "before":
        gate.open(lease=2)
        site.ends(order)

    gate.open(lease=1)
    first.thaw()
    wait_until(lambda: ("ended", 1) in site.effects.words(order), "the first ends")
    wait_until(lambda: events(site.database, "late_result_discarded"), "its result is discarded")
    gate.open(lease=2)
    site.ends(order)

    row = site.order(order)
    assert (row.status, row.attempts, row.crashes, row.lease) == (COMPLETED, 2, 1, 2)
    assert row.manager == site.name_of(second)
    result = json.loads(row.result or "")
    assert (result["lease"], site.runs_under(result["pid"])) == (2, second.pid)
    (late,) = events(site.database, "late_result_discarded")
    assert (late.ids, late.manager) == ([order], site.name_of(first))
    assert late.data["leases"] == [1]
    assert kinds(site, order).count("completed") == 1

    second.terminate()
    assert second.wait() == 0
    more = site.submit_many("mark", 20)
    site.ends(*more)
    assert {e.pid for one in more for e in site.effects.all(order=one)} == {first.pid}
    first.terminate()
    assert first.wait() == 0


def test_a_manager_that_was_stopped_for_long_stops_what_it_lost(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    order = site.submit("keen", gate)
    site.began(order)
    first.freeze(site.lock)
    site.managers(1, stale_seconds=STALE)
    site.began(order, lease=2)

    first.thaw()
    wait_until(lambda: ("told", 1) in site.effects.words(order), "the first's job is told")

    assert ("told", 2) not in site.effects.words(order)
    gate.open()
    site.ends(order)
    assert site.order(order).lease == 2


def test_what_was_cancelled_meanwhile_is_not_brought_back(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    order = site.submit("deaf", gate)
    site.began(order)
    first.freeze(site.lock)
    before = ledger.cancel(site.database, order)
    assert before.status == CANCELLED

    gate.open()
    first.thaw()
    wait_until(lambda: ("ended", 1) in site.effects.words(order), "the job ends")
    (after,) = site.submit_many("mark", 1)
    site.ends(after)

    assert site.order(order) == before
    assert kinds(site, order) == ["submitted", "claimed", "cancelled", "late_result_discarded"]

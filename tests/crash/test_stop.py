"""A manager that is told to stop: within its grace, and nothing is lost or blamed."""

from __future__ import annotations

import fcntl
import time

import pytest

import ledger
from models import COMPLETED, PENDING, STATUSES
from tests.crash.harness import Site, elapsed
from tests.ledger.evidence import counted, events, levels
from tests.support import wait_until

GRACE = 1.0
MORE = 2.0
LONG = 25.0


def test_a_stop_under_load_hands_back_what_runs(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, grace_seconds=GRACE)
    long = site.submit_many("deaf", 2, gate, priority=1)
    obedient = site.submit("obedient", gate, priority=1)
    short = site.submit_many("mark", 3_000)
    for order in (*long, obedient):
        site.began(order)
    wait_until(lambda: len(site.effects.all("ended")) > 100, "the load flows")

    since = time.monotonic()
    first.terminate()
    code = first.wait(GRACE + MORE)
    assert (code, elapsed(since) < GRACE + MORE) == (0, True)

    assert set(counted(site.database)) == {PENDING, COMPLETED}
    for order in (*long, obedient):
        row = site.order(order)
        assert (row.status, row.attempts, row.crashes, row.error) == (PENDING, 0, 0, None)
        assert (row.manager, row.worker, row.started_on) == (None, None, None)
        assert [past.outcome for past in ledger.history(site.database, order)] == ["handed_back"]
    assert ("told", 1) in site.effects.words(obedient)
    back = {one for event in events(site.database, "handed_back") for one in event.ids}
    assert back.issuperset([*long, obedient])
    assert not any(
        events(site.database, kind) for kind in ("retrying", "failed", "rescued", "crashed")
    )

    gate.open()
    (second,) = site.managers(1)
    site.ends(*long, obedient, *short)
    assert counted(site.database) == {COMPLETED: 3_003} == levels(site.database)
    for order in long:
        assert site.effects.words(order) == [("began", 1), ("began", 2), ("ended", 2)]
        assert (site.order(order).attempts, site.order(order).crashes) == (1, 0)
    began = [effect.order for effect in site.effects.all("began") if effect.order in set(short)]
    assert sorted(began) == sorted(short), "a short order ran twice, or never"
    (stopped,) = (m for m in ledger.managers(site.database) if m.pid == first.pid)
    assert (stopped.state, stopped.ended_on is not None) == ("stopped", True)
    assert second.is_alive()


def test_what_ends_within_the_grace_is_completed(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1, grace_seconds=20)
    order = site.submit("deaf", gate)
    site.began(order)
    manager.terminate()
    manager.says("manager stopping")
    later = site.submit("mark")
    gate.open()
    assert manager.wait() == 0
    assert (site.order(order).status, site.order(order).attempts) == (COMPLETED, 1)
    assert (site.order(later).status, site.order(later).attempts) == (PENDING, 0)
    assert site.effects.words(order) == [("began", 1), ("ended", 1)]


def test_a_second_signal_does_not_wait_for_the_grace(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1, grace_seconds=60)
    order = site.submit("deaf", gate)
    site.began(order)
    manager.terminate()
    manager.says("manager stopping")
    manager.terminate()
    assert manager.wait(MORE) == 0
    row = site.order(order)
    assert (row.status, row.attempts, row.crashes) == (PENDING, 0, 0)
    assert set(levels(site.database)) <= set(STATUSES)
    gate.open()
    site.managers(1)
    site.ends(order)
    assert site.effects.words(order) == [("began", 1), ("began", 2), ("ended", 2)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_stop_does_not_wait_for_ever_for_its_turn_to_write(site: Site) -> None:
    """Another process may be stopped, by a debugger say, in the midst of its turn."""
    (manager,) = site.managers(1, grace_seconds=GRACE)
    assert site.lock is not None
    with site.lock.open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        manager.terminate()
        manager.says("manager stopping")
        manager.wait(LONG)

"""A running order that is cancelled: ended at once, and the job is told."""

from __future__ import annotations

import time
from contextlib import closing

import ledger
from ledger.hints import CANCEL, WORK, Bell
from models import CANCELLED, COMPLETED
from tests.crash.effects import Gate
from tests.crash.harness import Site, elapsed
from tests.ledger.evidence import events, levels
from tests.support import wait_until

SLOW_BEAT = 20.0
SOON = 3.0


def test_a_hint_tells_the_job_at_once(site: Site) -> None:
    gate = site.gate()
    site.managers(1, heartbeat_seconds=SLOW_BEAT, stale_seconds=4 * SLOW_BEAT)
    order = site.submit("keen", gate)
    site.began(order)

    since = time.monotonic()
    before = ledger.cancel(site.database, order)
    assert before.status == CANCELLED
    with closing(Bell(site.database)) as bell:
        bell.ring(CANCEL)
    wait_until(lambda: ("told", 1) in site.effects.words(order), "the job is told", SOON)
    assert elapsed(since) < SOON

    _ends_without_a_trace(site, order, before, gate)


def test_without_a_hint_the_heartbeat_tells_the_job(site: Site) -> None:
    gate = site.gate()
    site.managers(1)
    order = site.submit("keen", gate)
    site.began(order)
    before = ledger.cancel(site.database, order)
    wait_until(lambda: ("told", 1) in site.effects.words(order), "the job is told", SOON)
    _ends_without_a_trace(site, order, before, gate)


def test_a_hint_does_not_stop_the_heart(site: Site) -> None:
    (manager,) = site.managers(1, stale_seconds=1)
    name = site.name_of(manager)
    with closing(Bell(site.database)) as bell:
        for hint in (CANCEL, WORK, CANCEL):
            bell.ring(hint)
            site.ends(site.submit("mark"))
            beaten = _last_beat(site, name)
            wait_until(lambda: _last_beat(site, name) > beaten + 500, "it goes on beating", SOON)  # noqa: B023
    assert manager.is_alive()


def test_a_job_that_does_not_listen_loses_its_slot_at_its_deadline(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1, max_workers=1)
    order = site.submit("deaf", gate, timeout_ms=1_000)
    site.began(order)
    before = ledger.cancel(site.database, order)
    later = site.submit("mark")
    site.ends(later)
    assert site.order(later).status == COMPLETED
    assert site.order(order) == before
    assert site.effects.words(order) == [("began", 1)]
    assert manager.is_alive()


def _last_beat(site: Site, name: str) -> int:
    return next(m.last_beat for m in ledger.managers(site.database) if m.id == name)


def _ends_without_a_trace(site: Site, order: str, before: ledger.OrderRow, gate: Gate) -> None:
    """Let the cancelled job return a result, and see that it changes nothing."""
    gate.open()
    wait_until(lambda: ("ended", 1) in site.effects.words(order), "the job ends")
    after = site.submit("mark")
    site.ends(after)
    assert site.order(order) == before
    assert ledger.history(site.database, order) == []
    happened = [event.kind for event in events(site.database) if order in event.ids]
    assert happened[:3] == ["submitted", "claimed", "cancelled"]
    assert set(happened[3:]) <= {"late_result_discarded"}
    assert levels(site.database) == {CANCELLED: 1, COMPLETED: 1}

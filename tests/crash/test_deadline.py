"""Attempts past their deadline, in threads that nobody can kill."""

from __future__ import annotations

import json

import ledger
from models import COMPLETED, FAILED
from tests.crash.harness import Site
from tests.ledger.evidence import events
from tests.support import wait_until

TIMEOUT_MS = 300


def test_a_hung_attempt_is_ended_and_its_slot_replaced(site: Site) -> None:
    gate = site.gate()
    (manager,) = site.managers(1, max_workers=1)
    hung = site.submit("deaf", gate, timeout_ms=TIMEOUT_MS, max_attempts=1)
    later = site.submit("mark")
    site.ends(hung, later)

    row = site.order(hung)
    assert (row.status, row.attempts, row.crashes) == (FAILED, 1, 0)
    assert json.loads(row.error or "")["type"] == "TimedOut"
    assert row.run_ms is not None
    assert row.run_ms >= TIMEOUT_MS
    assert site.order(later).status == COMPLETED
    assert site.effects.words(hung) == [("began", 1)]

    gate.open()
    wait_until(lambda: ("ended", 1) in site.effects.words(hung), "its thread ends")
    last = site.submit("mark")
    site.ends(last)
    assert site.order(hung) == row
    assert {effect.pid for effect in site.effects.all()} == {manager.pid}


def test_a_hung_attempt_leaves_room_for_the_next(site: Site) -> None:
    gate = site.gate()
    gate.open(lease=2)
    site.managers(1, max_workers=1)
    order = site.submit("deaf", gate, timeout_ms=TIMEOUT_MS, max_attempts=2)
    site.ends(order)
    gate.open(lease=1)
    wait_until(lambda: ("ended", 1) in site.effects.words(order), "the first attempt's thread ends")

    row = site.order(order)
    assert (row.status, row.attempts, row.crashes, row.lease) == (COMPLETED, 2, 0, 2)
    assert json.loads(row.result or "")["lease"] == 2
    (timed_out,) = ledger.history(site.database, order)
    assert (timed_out.lease, timed_out.outcome) == (1, "timed_out")
    assert json.loads(timed_out.error or "")["type"] == "TimedOut"
    completed = [event for event in events(site.database, "completed") if order in event.ids]
    assert len(completed) == 1


def test_too_many_hung_threads_end_the_process_by_itself(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, max_workers=1, grace_seconds=0.5)
    hung = site.submit_many("deaf", 2, gate, timeout_ms=TIMEOUT_MS, max_attempts=1)
    assert first.wait() == 1
    assert "too many hung threads" in first.output
    assert {site.order(order).status for order in hung} == {FAILED}
    (stopped,) = events(site.database, "manager_stopped")
    assert "too many hung threads" in stopped.data["reason"]

    later = site.submit("mark")
    (second,) = site.managers(1, max_workers=1)
    site.ends(later)
    assert [effect.pid for effect in site.effects.all(order=later)] == [second.pid] * 2


def test_the_others_get_their_grace_when_hung_threads_end_the_process(site: Site) -> None:
    gate, closed = site.gate(), site.gate()
    (manager,) = site.managers(1, max_workers=2, grace_seconds=20)
    order = site.submit("deaf", gate)
    site.began(order)
    site.submit_many("deaf", 3, closed, timeout_ms=TIMEOUT_MS, max_attempts=1)
    manager.says("manager stopping")
    stopping = ledger.managers(site.database)[0].last_beat
    wait_until(
        lambda: ledger.managers(site.database)[0].last_beat > stopping + 1_000,
        "it beats on while it waits for its workers",
    )
    gate.open()
    assert manager.wait() == 1
    assert (site.order(order).status, site.order(order).attempts) == (COMPLETED, 1)
    assert site.effects.words(order) == [("began", 1), ("ended", 1)]

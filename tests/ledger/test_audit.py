"""The audit finds what should never be, repairs what is safe, tells once, and cries no wolf."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ledger
from database import Database, Sql
from ledger import schedules
from ledger.audit import Finding, audit, audit_counts, correct_levels, look, rows
from ledger.audit import levels as figures
from models import COMPLETED, FAILED, PENDING, RETRIEVED, STATUSES, WIP
from tests.factories import MANAGER, claim, ending, make_stale, new_order, order_in, submit
from tests.ledger import corruptions, troubles
from tests.ledger.corruptions import CORRUPTIONS, STALE_MS, Corruption, change
from tests.ledger.evidence import Happening, at_once, counted, events, levels
from tests.ledger.timetable import created

AUDITOR = "auditor"
TOLD = Sql("SELECT orders, data FROM event WHERE kind = 'audit_found' ORDER BY id")


class Audits:
    """One audit after the other, each with what the last one left."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.left: dict[str, Any] = {}

    def next(self) -> list[Finding]:
        found, self.left = audit(self._database, AUDITOR, STALE_MS, self.left)
        return found

    def of(self, rule: str) -> list[Finding]:
        return [finding for finding in self.next() if finding.rule == rule]


def tellings(database: Database, rule: str) -> list[Happening]:
    """The events that tell of what breaks this rule."""
    found = []
    for packed, data in database.read(TOLD):
        ids = list(ledger.unpack(bytes(packed))) if packed is not None else []
        found.append(Happening("audit_found", ids, AUDITOR, json.loads(data)))
    return [one for one in found if one.data["rule"] == rule]


@pytest.fixture
def audits(database: Database) -> Audits:
    return Audits(database)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: one.make.__name__)
def test_a_corruption_is_found_and_repaired_where_that_is_safe(
    database: Database, audits: Audits, corruption: Corruption
) -> None:
    where = corruption.make(database)
    before = look(database, STALE_MS)
    first = audits.next()
    assert {finding.rule for finding in first} == {corruption.rule, *corruption.besides}
    assert {finding.rule for finding in before} == {finding.rule for finding in first}
    (finding,) = (one for one in first if one.rule == corruption.rule)
    assert list(finding.where) == where
    assert finding.repaired == (len(where) if corruption.repaired else 0)
    assert finding.is_new
    (told,) = tellings(database, finding.rule)
    assert (told.ids or told.data["where"]) == where
    assert told.data["repaired"] == finding.repaired
    second = audits.of(corruption.rule)
    assert len(second) == (0 if corruption.repaired else 1)
    assert not any(finding.is_new for finding in second)
    assert tellings(database, corruption.rule) == [told], "told once"


def test_by_hand_nothing_is_changed_and_nothing_told(database: Database) -> None:
    corruptions.in_a_queue_without_a_row(database)
    (finding,) = look(database, STALE_MS)
    assert finding.rule == "queue_unknown"
    assert finding.repaired == 0
    assert look(database, STALE_MS) == [finding]
    assert events(database, "audit_found") == []


def busy(database: Database) -> None:
    """Orders, attempts, schedules and keys in every state that there is, by legal moves."""
    troubles.manager(database, MANAGER)
    for status in STATUSES:
        if status not in (PENDING, WIP):
            order_in(database, status)
    ledger.retry(database, order_in(database, FAILED).id)
    for to in (PENDING, COMPLETED):
        (order,) = claim(database)
        ledger.finish(database, MANAGER, [ending(order, to, delay_ms=0 if to == PENDING else None)])
    submit(database)
    (stale,) = claim(database)
    make_stale(database, stale.id)
    ledger.rescue(database, 1000)
    submit(database, queue="other", priority=3)
    submit(database, delay_ms=60_000)
    (running,) = ledger.claim(database, MANAGER, [ledger.Lane("other", 3)], 1)
    ledger.renew(database, MANAGER, [ledger.Beat(running.id, 1, f"{MANAGER}/1", 5)])
    ledger.pause(database, "paused")
    ledger.submit(database, [ledger.Request([new_order()], "anna", "one", b"digest")])
    created(database, "hourly", "0 * * * *")
    created(database, "paused", "0 * * * *")
    schedules.set_enabled(database, "paused", enabled=False)
    ledger.delete(database, order_in_ended(database))
    troubles.manager(database, "stopped")
    ledger.retire(database, "stopped", "test")


def order_in_ended(database: Database) -> str:
    rows = database.read(Sql("SELECT id FROM job_order WHERE status = 'retrieved'"))
    return ledger.ids.text_id(rows[0][0])


def test_nothing_is_found_where_nothing_is_wrong(database: Database, audits: Audits) -> None:
    busy(database)
    assert audits.next() == []
    assert look(database, STALE_MS, whole=True) == []


def test_nothing_is_found_in_the_midst_of_moves(database: Database) -> None:
    """Each statement sees one moment, in which all is right."""
    troubles.manager(database, MANAGER)

    def work() -> list[Finding]:
        for _ in range(30):
            submit(database)
            for order in claim(database, free=2):
                ledger.finish(database, MANAGER, [ending(order)])
                ledger.retrieve(database, order.id)
        database.close()
        return []

    def watch() -> list[Finding]:
        found = []
        audits = Audits(database)
        for _ in range(20):
            found += audits.next()
        database.close()
        return found

    assert at_once([work, work, work, watch]) == [[], [], [], []]
    assert levels(database) == counted(database)


def test_a_stretch_moves_on_from_audit_to_audit(
    database: Database, audits: Audits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STRETCH", 2)
    orders = sorted(order_in(database, RETRIEVED).id for _ in range(5))
    corruptions.spoil(database, orders[4], "result = NULL")
    assert [len(audits.of("result_missing")) for _ in range(6)] == [0, 0, 1, 0, 0, 1]


def test_by_hand_the_whole_table_is_looked_at(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STRETCH", 2)
    orders = sorted(order_in(database, RETRIEVED).id for _ in range(5))
    for order_id in orders[1::2]:
        corruptions.spoil(database, order_id, "result = NULL")
    monkeypatch.setattr(figures, "MOST_COUNTED", 1)
    change(database, "DELETE FROM tally WHERE after = 'retrieved'")
    found = {finding.rule: finding.where for finding in look(database, STALE_MS, whole=True)}
    assert found == {
        "result_missing": tuple(orders[1::2]),
        "levels_drift": ("completed: 5 too many", "retrieved: 5 too few"),
    }


def test_what_runs_is_always_looked_at(
    database: Database, audits: Audits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STRETCH", 1)
    order_in(database, COMPLETED)
    where = corruptions.of_a_manager_without_a_row(database)
    assert list(audits.of("holder_gone")[0].where) == where
    assert ledger.find(database, where[0]).status == PENDING


def test_a_large_table_is_counted_where_that_is_cheap(
    database: Database, audits: Audits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST_COUNTED", 3)
    monkeypatch.setattr(figures, "MOST_UNHAPPY", 2)
    for status in (COMPLETED, COMPLETED, COMPLETED, FAILED):
        order_in(database, status)
    submit(database)
    assert audits.next() == []
    change(database, "DELETE FROM job_order WHERE status = 'failed'")
    assert audits.of("levels_drift")[0].where == ("failed: 1 too many",)
    change(database, "DELETE FROM tally WHERE after = 'completed'")
    assert "completed: 3 too few" in audits.of("levels_drift")[0].where


def test_figures_are_set_right_by_hand(database: Database, audits: Audits) -> None:
    busy(database)
    change(database, "DELETE FROM tally WHERE after IN ('completed', 'wip')")
    assert audits.of("levels_drift")
    assert levels(database) != counted(database)
    wrong = correct_levels(database)
    assert wrong["completed"] < 0
    assert levels(database) == counted(database)
    assert audits.next() == []
    assert correct_levels(database) == {}
    ledger.fold(database)
    assert levels(database) == counted(database)
    assert len(events(database, "levels_corrected")) == 1


def test_counts_are_kept(database: Database, audits: Audits) -> None:
    corruptions.in_a_queue_without_a_row(database)
    corruptions.tally_of_no_move(database)
    assert ledger.chores.take(database, "audit", AUDITOR, 1000) == {}
    for _ in range(3):
        audits.next()
    assert ledger.chores.keep(database, "audit", AUDITOR, 1000, audits.left)
    counts = audit_counts(database)
    assert counts == {"queue_unknown": (1, 1, 0), "unknown_move": (1, 0, 1)}


def test_two_audits_at_once_repair_nothing_twice(database: Database) -> None:
    where = corruptions.of_a_manager_without_a_row(database)

    def once() -> int:
        found, _ = audit(database, AUDITOR, STALE_MS, {})
        database.close()
        return sum(finding.repaired for finding in found if finding.rule == "holder_gone")

    assert sum(at_once([once, once])) == 1
    assert ledger.find(database, where[0]).crashes == 1


def test_what_somebody_keeps_locked_does_not_hold_up_the_audit(
    database: Database, audits: Audits
) -> None:
    (order_id,) = corruptions.alive_in_the_future(database)
    corruptions.in_a_queue_without_a_row(database)
    if database.dialect == "postgresql":
        other = Database(database.url)
        with other.session() as connection, connection.transaction():
            connection.execute("SELECT id FROM job_order WHERE id = %s FOR UPDATE", (order_id,))
            found = {finding.rule: finding.repaired for finding in audits.next()}
        other.close()
        assert found == {"sign_of_life_ahead": 0, "queue_unknown": 1}
    assert audits.of("sign_of_life_ahead")[0].repaired == 1

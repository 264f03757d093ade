"""The auditor: once a minute, by one manager, not in trouble, and in words for the operator."""

from __future__ import annotations

from structlog.testing import capture_logs

from database import Database, Sql
from ledger import chores
from ledger.audit import CHORE, audit_counts
from manager.auditor import EVERY_MS, Auditor
from tests.ledger import corruptions
from tests.ledger.evidence import events

SAID = "the audit found what should not be"
DUE_IN = Sql("SELECT due_on - {now} FROM chore WHERE name = 'audit'")
DUE = Sql("UPDATE chore SET due_on = {now} - 1")


def auditor(database: Database, name: str = "m1", *, steady: bool = True) -> Auditor:
    return Auditor(database, name, 30.0, lambda _seconds: steady)


def due(database: Database) -> None:
    """Let the next audit be due."""
    database.write(lambda tx: tx.run(DUE))


def test_it_repairs_tells_and_counts(database: Database) -> None:
    corruptions.in_a_queue_without_a_row(database)
    with capture_logs() as logs:
        auditor(database).tick()
    (line,) = logs
    assert line["event"] == SAID
    assert line["log_level"] == "warning", "nothing is left of it"
    assert (line["rule"], line["where"], line["repaired"]) == ("queue_unknown", ["lost"], 1)
    assert line["remedy"]
    assert audit_counts(database) == {"queue_unknown": (1, 1, 0)}
    assert len(events(database, "audit_found")) == 1


def test_what_stays_is_an_error_and_is_said_once(database: Database) -> None:
    corruptions.tally_of_no_move(database)
    with capture_logs() as logs:
        for name in ("m1", "m2", "m1"):
            auditor(database, name).tick()
            due(database)
    assert [(line["log_level"], line["rule"]) for line in logs] == [("error", "unknown_move")]
    assert audit_counts(database) == {"unknown_move": (1, 0, 1)}
    corruptions.change(database, "DELETE FROM tally WHERE before = 'retrieved'")
    auditor(database).tick()
    assert audit_counts(database) == {"unknown_move": (1, 0, 0)}


def test_one_manager_does_it_for_all_once_a_minute(database: Database) -> None:
    auditor(database, "m1").tick()
    assert 0 < database.read(DUE_IN)[0][0] <= EVERY_MS
    corruptions.in_a_queue_without_a_row(database)
    auditor(database, "m2").tick()
    assert events(database, "audit_found") == []
    due(database)
    auditor(database, "m2").tick()
    assert events(database, "audit_found")[0].manager == "m2"


def test_not_just_after_an_outage(database: Database) -> None:
    """All are as silent then as this one was."""
    corruptions.of_a_manager_without_a_row(database)
    auditor(database, steady=False).tick()
    assert events(database, "audit_found") == []
    assert chores.left(database, CHORE) == {}


def test_where_nothing_is_wrong_nothing_is_said(database: Database) -> None:
    with capture_logs() as logs:
        auditor(database).tick()
    assert logs == []
    assert events(database) == []

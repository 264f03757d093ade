"""What a manager says when it takes orders back: one line a batch, however many there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

import ledger
from database import Database, Sql
from ledger import Lifeline, ManagerCard
from ledger.lifeline import lifeline_file
from manager import failure_detector
from manager.assignment import Assignment
from manager.failure_detector import FailureDetector
from manager.leases import Leases
from manager.rescuer import Rescuer
from models import PENDING, WIP
from tests.factories import claim, new_order
from tests.ledger import evidence
from tests.support import wait_until

ME, OTHER = "me", "other"
SILENT = Sql("UPDATE job_order SET last_updated = last_updated - 3600000 WHERE status = 'wip'")
CRASHED = Sql("UPDATE job_order SET crashes = 2 WHERE id = :id")


def held(database: Database, manager: str, count: int) -> list[str]:
    """So many orders that this manager holds, in the order of their ids."""
    ledger.submit(database, [ledger.Request([new_order() for _ in range(count)])])
    return sorted(order.id for order in claim(database, manager, count))


def lines(work: Callable[[], object]) -> list[dict[str, Any]]:
    with capture_logs() as found:
        work()
    return [dict(line) for line in found]


def in_hand(database: Database) -> Leases:
    """The leases of `ME`, all in its hand."""
    leases = Leases(30.0)
    leases.add(map(Assignment, ledger.holdings(database, ME)))
    return leases


def test_silent_orders_take_a_line_a_batch(database: Database) -> None:
    ids = held(database, OTHER, 501) + held(database, "third", 2) + held(database, ME, 3)
    last = database.key(ids[3])
    database.write(lambda transaction: transaction.run(CRASHED, {"id": last}))
    database.write(lambda transaction: transaction.run(SILENT))
    found = lines(Rescuer(database, ME, in_hand(database), 30.0, lambda _seconds: True).tick)
    assert len(found) == 2
    first, second = found
    assert first == {
        "event": "orders taken back: no sign of life from who held them",
        "log_level": "warning",
        "orders": 500,
        "failed": 1,
        "jobs": [*ids[:3], *ids[4:6]],
        "holders": [OTHER],
    }
    assert (second["orders"], second["failed"], second["holders"]) == (3, 0, [OTHER, "third"])
    assert evidence.counted(database)[WIP] == 3, "its own it leaves alone"


def test_what_a_manager_has_given_up_it_takes_back_itself(database: Database) -> None:
    """Nobody else would, as long as it lives: there may be no other at all."""
    (given_up,) = held(database, ME, 1)
    leases = in_hand(database)
    leases.let_go([(given_up, 1)])
    tick = Rescuer(database, ME, leases, 30.0, lambda _seconds: True).tick
    assert lines(tick) == []
    database.write(lambda transaction: transaction.run(SILENT))
    (line,) = lines(tick)
    assert line["event"] == "own orders taken back: they had been given up"
    assert line["jobs"] == [given_up]
    assert ledger.find(database, given_up).status == PENDING


def test_so_do_the_orders_of_the_dead(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = held(database, OTHER, 7)
    lifeline = Lifeline(database, OTHER)
    lifeline.start()
    ended = f"{ledger.process_mark(os.getpid())}0"
    card = ManagerCard(
        OTHER, "h", 1, "0", "database", 1, None, 5000, 600_000, ended, lifeline.proof
    )
    ledger.register(database, card)
    lifeline.close()
    if database.path is not None:
        lifeline_file(database.path, OTHER).touch()  # who is killed leaves its file there
    detector = FailureDetector(database, ME)
    wait_until(lambda: ledger.suspects(database, ME), "its lock is free")
    assert lines(detector.tick) == [], "one look proves nothing"
    monkeypatch.setattr(failure_detector, "APART_SECONDS", 0.0)
    taken, buried = lines(detector.tick)
    assert taken == {
        "event": "orders taken back: who held them is dead",
        "log_level": "warning",
        "orders": 7,
        "failed": 0,
        "jobs": ids[:5],
        "holders": [OTHER],
    }
    assert buried["lost"] == OTHER


@pytest.mark.parametrize("gone", [True, False])
def test_a_look_that_takes_long_is_no_second_look(
    database: Database, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """The first counts from its answer: it may have been asked long before."""
    now = [100.0]
    seconds = iter([10.0, 0.0, 0.0, 0.0])
    dead = ledger.Suspect(OTHER, 1, gone)
    taken: list[ledger.Suspect] = []

    def look(_database: Database, _me: str) -> list[ledger.Suspect]:
        now[0] += next(seconds)
        return [dead]

    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(failure_detector, "time", clock)
    monkeypatch.setattr(failure_detector, "suspects", look)
    monkeypatch.setattr(failure_detector, "bury", lambda _database, found: taken.append(found))
    detector = FailureDetector(database, ME)
    detector.tick()
    detector.tick()
    assert taken == []
    now[0] += failure_detector.APART_SECONDS
    detector.tick()
    assert taken == ([dead] if gone else []), "elsewhere it may be cut off, and at work"
    now[0] += failure_detector.ELSEWHERE_SECONDS
    detector.tick()
    assert dead in taken

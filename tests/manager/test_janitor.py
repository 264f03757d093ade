"""The janitor: one manager at a time, resting most of its time, and telling once an hour."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from database import Database, DatabaseAway, Sql
from ledger import chores, retention
from ledger.retention import MOST_BATCH
from manager import janitor as duty
from manager.janitor import CHORE, Janitor
from models import COMPLETED
from tests.ledger.evidence import counted, events, levels
from tests.ledger.past import ended
from tests.manager.by_hand import Unlucky

WEEK = 168.0
OLD = 169
SAID = "deleted what was older than its retention"
DUE = Sql("UPDATE chore SET due_on = {now} - 1")
TOLD_LONG_AGO = Sql("UPDATE chore SET data = replace(data, '\"tell_on\":', '\"told_on\":')")


class Restless(Janitor):
    """A janitor that is never tired: what a pass does takes as many ticks as it takes."""

    def __init__(self, database: Database, name: str = "m1", hours: float = WEEK) -> None:
        super().__init__(database, name, hours, sleep=lambda _seconds: self.wake())

    def wake(self) -> None:
        """Let the rest be over."""
        self._due = 0.0

    def begin(self) -> None:
        """Take the pass, and do nothing of it yet."""
        assert self._holds(time.monotonic())

    def step(self) -> None:
        """One step of it."""
        self._work(time.monotonic())

    def wait(self, seconds: float) -> None:
        """Let it be so long ago that it last said that it is at it."""
        self._kept -= seconds

    def is_at_it(self) -> bool:
        return self._sweep is not None

    def finish(self) -> None:
        """Tick until the pass is over."""
        while True:
            self.wake()
            self.tick()
            if not self.is_at_it():
                return


class Clock:
    """Stands for the module `time`: each look takes a millisecond, each rest what it takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rested = 0.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.rested += seconds


def due(database: Database) -> None:
    """Let the next pass be due."""
    database.write(lambda tx: tx.run(DUE))


def test_a_pass_deletes_all_that_is_old(database: Database) -> None:
    ended(database, COMPLETED, 50, OLD)
    Restless(database).finish()
    assert counted(database) == levels(database) == {}


def test_it_rests_most_of_its_time_and_ticks_for_a_second(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(database, COMPLETED, 2 * MOST_BATCH, OLD)
    clock = Clock()
    monkeypatch.setattr(duty, "time", clock)
    monkeypatch.setattr(retention, "MOST_BATCH", 2)
    monkeypatch.setattr(retention, "FIRST_BATCH", 2)
    janitor = Janitor(database, "m1", WEEK, clock.sleep)
    janitor.tick()
    assert 0.8 * duty.TICK_SECONDS < clock.now < 1.1 * duty.TICK_SECONDS
    assert clock.rested > 0.7 * clock.now
    assert 0 < counted(database)[COMPLETED] < 2 * MOST_BATCH


def test_one_manager_at_a_time(database: Database) -> None:
    ended(database, COMPLETED, 1, OLD)
    assert chores.take(database, CHORE, "other", 60_000) == {}
    janitor = Restless(database)
    janitor.tick()
    assert counted(database) == {COMPLETED: 1}
    due(database)
    janitor.finish()
    assert counted(database) == {}


def test_the_next_goes_on_where_a_dead_one_was(database: Database) -> None:
    ended(database, COMPLETED, 100, OLD)
    first = Restless(database, "m1")
    first.begin()
    first.wait(duty.KEEP_SECONDS + 1)
    first.step()
    left = chores.left(database, CHORE)
    assert left["place"]["phase"] == "orders"
    assert left["deleted"]["orders"] > 0
    due(database)
    Restless(database, "m2").finish()
    assert counted(database) == {}
    (told,) = events(database, "retention_deleted")
    assert told.data["orders"] == 100
    assert told.manager == "m2"


def test_who_was_thought_dead_lets_go(database: Database) -> None:
    ended(database, COMPLETED, 100, OLD)
    first, second = Restless(database, "m1"), Restless(database, "m2")
    first.begin()
    due(database)
    second.begin()
    first.wait(duty.KEEP_SECONDS + 1)
    first.step()
    assert not first.is_at_it()
    second.finish()
    assert counted(database) == levels(database) == {}


def test_passes_are_apart(database: Database) -> None:
    Restless(database).finish()
    ended(database, COMPLETED, 1, OLD)
    Restless(database).tick()
    assert counted(database) == {COMPLETED: 1}


def test_it_tells_at_most_once_an_hour(database: Database) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            ended(database, COMPLETED, 2, OLD)
            Restless(database).finish()
            due(database)
        assert [line for line in logs if line["event"] == SAID] == [
            {"event": SAID, "log_level": "info", "orders": 2}
        ]
        database.write(lambda tx: tx.run(TOLD_LONG_AGO))
        Restless(database).finish()
    assert [told.data for told in events(database, "retention_deleted")] == [
        {"orders": 2},
        {"orders": 4},
    ]
    assert len([line for line in logs if line["event"] == SAID]) == 2


def test_a_pass_that_deletes_nothing_says_nothing(database: Database) -> None:
    with capture_logs() as logs:
        Restless(database).finish()
    assert logs == []
    assert events(database) == []


def test_an_idle_tick_asks_nobody(database: Database) -> None:
    Restless(database).finish()
    janitor = Restless(database)
    janitor.tick()
    due(database)
    janitor.tick()
    assert chores.take(database, CHORE, "other", 1000) is not None, "it did not even look"


def test_an_outage_in_the_midst_of_a_pass_is_gone_over(database_url: str) -> None:
    database = Unlucky(database_url)
    ended(database, COMPLETED, 60, OLD)
    janitor = Restless(database)
    janitor.begin()
    refusals = 0
    while counted(database):
        database.refused = 1
        janitor.wake()
        with pytest.raises(DatabaseAway):
            janitor.tick()
        refusals += 1
        janitor.step()
    assert refusals > 1
    assert levels(database) == {}
    database.close()

"""The scheduler's tick: on time, by whoever comes first, and idle at next to no cost."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

import ledger
from database import Database, DatabaseAway, Sql
from ledger import fires
from logs import MOST_TOLD
from manager import scheduler as duty
from manager.scheduler import Scheduler
from models import COMPLETED
from tests.ledger.evidence import at_once
from tests.ledger.timetable import MINUTE, all_due, created, due_at, made, now
from tests.manager.by_hand import ByHand, Unlucky
from tests.support import wait_until


class Rung:
    """Counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the database was asked."""
    found: list[float] = []
    real = fires.wait_ms

    def counted(database: Database) -> int | None:
        found.append(time.monotonic())
        return real(database)

    monkeypatch.setattr(fires, "wait_ms", counted)
    return found


def test_what_is_due_is_made_and_rung(database: Database) -> None:
    ring = Rung()
    scheduler = Scheduler(database, "m", ring)
    created(database)
    all_due(database)
    scheduler.tick()
    assert len(made(database)) == 1
    assert ring.times == 1
    scheduler.tick()
    assert len(made(database)) == 1
    assert ring.times == 1


def test_the_order_is_run_like_any_other(hand: ByHand) -> None:
    created(hand.database)
    all_due(hand.database)
    Scheduler(hand.database, hand.name, Rung()).tick()
    hand.work_off()
    ((_, _, order),) = made(hand.database)
    assert ledger.find(hand.database, order).status == COMPLETED


def test_all_that_is_due_is_made_in_one_tick(database: Database) -> None:
    for nth in range(fires.BATCH + 5):
        created(database, f"s{nth}")
    all_due(database)
    Scheduler(database, "m", Rung()).tick()
    assert len(made(database)) == fires.BATCH + 5


@pytest.mark.parametrize("schedules", [0, 1])
def test_an_idle_one_looks_once_a_second(
    database: Database, looks: list[float], schedules: int
) -> None:
    for _ in range(schedules):
        created(database, expression="0 0 1 1 *")
    scheduler = Scheduler(database, "m", Rung())
    for _ in range(1_000):
        scheduler.tick()
    assert len(looks) <= 1 + (time.monotonic() - looks[0]) / duty.LOOK_SECONDS


def test_a_fire_that_is_near_is_waited_for(database: Database) -> None:
    created(database, expression="0 0 1 1 *")
    scheduler = Scheduler(database, "m", Rung())
    at = now(database) + 300
    due_at(database, "nightly", at)

    def fired() -> bool:
        scheduler.tick()
        return bool(made(database))

    wait_until(fired, "the schedule fires")
    ((_, run_at, order),) = made(database)
    assert run_at == at
    created_on = ledger.find(database, order).created_on
    assert at <= created_on <= at + 1_000


def test_schedulers_that_race_make_each_fire_once(database: Database) -> None:
    names = [f"s{nth:03}" for nth in range(250)]
    for name in names:
        created(database, name)
    for nth in range(4):
        for name in names:
            due_at(database, name, now(database) - (4 - nth) * 60 * MINUTE)
        managers = [Scheduler(database, name, Rung()) for name in ("a", "b")]
        wait_for = [one.tick for one in managers]
        at_once(wait_for)
        wait_until(lambda: _caught_up(database), "all are caught up")
    counts = [one[0] for one in made(database)]
    assert {name: counts.count(name) for name in names} == dict.fromkeys(names, 4)


def _caught_up(database: Database) -> bool:
    """Whether nothing of an earlier hour is due."""
    behind = Sql("SELECT count(*) FROM schedule WHERE next_fire < {now} - 1000000")
    return bool(database.read(behind)[0][0] == 0)


def test_what_was_missed_is_said(database: Database) -> None:
    for nth in range(7):
        created(database, f"s{nth}")
    all_due(database, ms=24 * 60 * MINUTE)
    with capture_logs() as logs:
        Scheduler(database, "m", Rung()).tick()
    (line,) = logs
    assert line["log_level"] == "warning"
    assert (line["n"], len(line["schedules"])) == (7, MOST_TOLD)
    assert len(made(database)) == 7


def test_a_schedule_that_cannot_be_read_is_said(database: Database) -> None:
    created(database)
    rename = Sql("UPDATE schedule SET timezone = 'Mars/Olympus'")
    database.write(lambda tx: tx.run(rename))
    all_due(database)
    with capture_logs() as logs:
        Scheduler(database, "m", Rung()).tick()
    (line,) = logs
    assert line["log_level"] == "error"
    assert line["schedule"] == "nightly"
    assert "Mars/Olympus" in line["reason"]


@pytest.mark.parametrize("how", ["refused", "unanswered"])
def test_an_outage_loses_and_doubles_nothing(unlucky: Unlucky, how: str) -> None:
    created(unlucky)
    all_due(unlucky)
    scheduler = Scheduler(unlucky, "m", Rung())
    setattr(unlucky, how, 1)
    with pytest.raises(DatabaseAway):
        scheduler.tick()
    scheduler.tick()
    assert len(made(unlucky)) == 1

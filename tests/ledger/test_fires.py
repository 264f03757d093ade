"""Fires: what is due makes exactly one order, whoever looks and whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections import Counter

import psycopg
import pytest

import ledger
from database import Database, Sql
from ledger import fires, schedules
from models import PENDING
from tests.ledger.evidence import at_once, events, levels
from tests.ledger.timetable import (
    MINUTE,
    all_due,
    created,
    due_at,
    last_minute,
    made,
    now,
)
from tests.support import wait_until


def test_what_is_not_due_does_not_fire(database: Database) -> None:
    created(database, expression="0 0 1 1 *")
    wait = fires.wait_ms(database)
    assert wait is not None
    assert wait > 0
    assert fires.fire(database, "m") == []
    assert made(database) == []


def test_a_fire_makes_the_order_and_moves_on(database: Database) -> None:
    created(
        database,
        type="gone",
        queue="q",
        priority=3,
        payload='{"n": 1.50}',
        max_attempts=7,
        timeout_ms=9_000,
        max_silence_ms=500,
        tags='["t"]',
        owner="ana",
    )
    due = now(database) // MINUTE * MINUTE
    due_at(database, "nightly", due)
    (fire,) = fires.fire(database, "m")
    assert (fire.schedule, fire.since, fire.at, fire.fault) == ("nightly", due, due, None)
    order = ledger.find(database, fire.order)
    assert order[:7] == (fire.order, "gone", "q", PENDING, 3, '{"n": 1.50}', None)
    assert (order.max_attempts, order.timeout_ms, order.max_silence_ms) == (7, 9_000, 500)
    assert (order.tags, order.owner, order.schedule, order.run_at) == (
        *('["t"]', "ana", "nightly", due),
    )
    row = schedules.find(database, "nightly")
    assert (row.last_fire, row.last_order, row.next_fire) == (due, fire.order, due + MINUTE)
    (fired,) = events(database, "schedule_fired")
    assert (fired.ids, fired.manager) == ([fire.order], "m")
    assert fired.data == {"schedules": ["nightly"], "fires": [due]}
    assert events(database, "submitted")[0].ids == [fire.order]
    assert levels(database) == {PENDING: 1}
    assert fires.fire(database, "m") == []


def test_what_was_missed_is_caught_up_once(database: Database) -> None:
    created(database, expression="*/5 * * * *")
    since = now(database) // MINUTE * MINUTE - 3 * 24 * 60 * MINUTE
    since = since // (5 * MINUTE) * 5 * MINUTE
    due_at(database, "nightly", since)
    before = now(database)
    (fire,) = fires.fire(database, "m")
    assert fire.late
    assert fire.since == since
    assert before - 5 * MINUTE < fire.at <= now(database)
    assert fire.at % (5 * MINUTE) == 0
    assert made(database) == [("nightly", fire.at, fire.order)]
    row = schedules.find(database, "nightly")
    assert (row.last_fire, row.next_fire) == (fire.at, fire.at + 5 * MINUTE)
    (missed,) = events(database, "schedule_missed")
    assert missed.ids == [fire.order]
    assert missed.data == {"schedules": ["nightly"], "since": [since], "fires": [fire.at]}
    assert len(events(database, "schedule_fired")) == 1
    assert fires.fire(database, "m") == []


@pytest.mark.parametrize(("ago", "missed"), [(1_000, 0), (fires.MISSED_MS + 1_000, 1)])
def test_a_single_fire_is_missed_when_nobody_made_it_in_time(
    database: Database, ago: int, missed: int
) -> None:
    created(database, expression="0 0 1 1 *")
    due_at(database, "nightly", now(database) - ago)
    assert len(fires.fire(database, "m")) == 1
    assert len(events(database, "schedule_missed")) == missed


def test_a_schedule_that_this_host_cannot_read_fires_once_more_and_is_paused(
    database: Database,
) -> None:
    created(database, "lost", timezone="UTC")
    created(database, "sound")
    rename = Sql("UPDATE schedule SET timezone = 'Mars/Olympus' WHERE name = 'lost'")
    database.write(lambda tx: tx.run(rename))
    all_due(database)
    found = {fire.schedule: fire for fire in fires.fire(database, "m")}
    assert set(found) == {"lost", "sound"}
    assert "Mars/Olympus: is not a time zone" in (found["lost"].fault or "")
    row = schedules.find(database, "lost")
    assert (row.enabled, row.next_fire) == (0, None)
    (paused,) = events(database, "schedule_paused")
    assert paused.data == {"schedule": "lost", "reason": found["lost"].fault}
    assert schedules.find(database, "sound").enabled == 1


def test_a_batch_is_bounded(database: Database) -> None:
    for nth in range(5):
        created(database, f"s{nth}")
    all_due(database)
    assert [len(fires.fire(database, "m", most=2)) for _ in range(4)] == [2, 2, 1, 0]
    assert len(made(database)) == 5


def test_nothing_of_a_fire_is_left_when_its_transaction_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(database)
    due = last_minute(database)
    due_at(database, "nightly", due)
    before = schedules.find(database, "nightly")

    def fail(*_: object) -> None:
        raise ConnectionError("cut off before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(fires, "_record", fail)
        with pytest.raises(Exception, match="cut off"):
            fires.fire(database, "m")
    assert made(database) == []
    assert schedules.find(database, "nightly") == before
    assert len(fires.fire(database, "m")) == 1
    assert len(made(database)) == 1


def test_no_fire_comes_twice_whatever_is_written(database: Database) -> None:
    """The table itself refuses a next fire that is not after the last."""
    created(database)
    due_at(database, "nightly", last_minute(database))
    fires.fire(database, "m")
    again = Sql("UPDATE schedule SET next_fire = last_fire")
    with pytest.raises(Exception, match="schedule_forward"):
        database.write(lambda tx: tx.run(again))


def test_managers_that_race_make_each_fire_once(database: Database) -> None:
    """Thousands of fires, by four managers on connections of their own."""
    names = [f"s{nth:03}" for nth in range(150)]
    for name in names:
        created(database, name)
    rounds, apart = 10, 20 * MINUTE
    first = last_minute(database) - rounds * apart

    def race(manager: str) -> list[fires.Fire]:
        mine: list[fires.Fire] = []
        while (fires.wait_ms(database) or 0) <= 0:
            mine += fires.fire(database, manager, most=7)
        return mine

    every: list[fires.Fire] = []
    for nth in range(rounds):
        for name in names:
            due_at(database, name, first + nth * apart)
        for mine in at_once([lambda name=name: race(name) for name in "abcd"]):  # type: ignore[misc]
            every += mine
    assert len(every) == rounds * len(names)
    assert sorted(made(database)) == sorted((fire.schedule, fire.at, fire.order) for fire in every)


def test_each_fire_of_a_round_is_made_by_one_manager(database: Database) -> None:
    names = [f"s{nth:03}" for nth in range(300)]
    for name in names:
        created(database, name)
    minute = now(database) // MINUTE * MINUTE
    for name in names:
        due_at(database, name, minute)

    def drain(manager: str) -> int:
        count = 0
        while (fires.wait_ms(database) or 0) <= 0:
            count += len(fires.fire(database, manager, most=3))
        return count

    assert sum(at_once([lambda name=name: drain(name) for name in "abcd"])) >= len(names)  # type: ignore[misc]
    assert max(Counter((name, at) for name, at, _ in made(database)).values()) == 1


def test_none_fires_after_it_was_said_to_be_paused_or_gone(database: Database) -> None:
    """A manager fires without rest while schedules are paused and deleted."""
    names = [f"s{nth:02}" for nth in range(40)]
    for name in names:
        created(database, name)
    all_due(database)
    stop = threading.Event()

    def fired(name: str) -> int:
        return Counter(one[0] for one in made(database))[name]

    def fire_on() -> None:
        while not stop.is_set():
            fires.fire(database, "m", most=5)

    thread = threading.Thread(target=fire_on)
    thread.start()
    counts: Counter[str] = Counter()
    try:
        for nth, name in enumerate(names):
            wait_until(lambda name=name: fired(name) > 0, f"{name} fires")  # type: ignore[misc]
            if nth % 2:
                schedules.delete(database, name)
            else:
                schedules.set_enabled(database, name, enabled=False)
            counts[name] = fired(name)
            all_due(database)
    finally:
        stop.set()
        thread.join()
    assert Counter(one[0] for one in made(database)) == counts


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_somebody_holds_keeps_no_other_waiting(database: Database) -> None:
    created(database, "held")
    created(database, "free")
    all_due(database)
    with psycopg.connect(database.url) as other:
        other.execute("SELECT 1 FROM schedule WHERE name = 'held' FOR UPDATE")
        assert [fire.schedule for fire in fires.fire(database, "m")] == ["free"]
    assert [fire.schedule for fire in fires.fire(database, "m")] == ["held"]

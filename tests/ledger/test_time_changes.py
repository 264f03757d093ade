"""Three managers make the fires of two days on which clocks change, by a clock of the test's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from database import Database
from ledger import fires
from tests.ledger import evidence
from tests.ledger.clock import Clock
from tests.ledger.timetable import created, made, now

STEP = timedelta(minutes=5)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def every(minutes: int, begin: datetime, end: datetime) -> list[datetime]:
    step = timedelta(minutes=minutes)
    return [begin + n * step for n in range((end - begin) // step)]


# Madrid's 29 March 2026 has no 02:30, and 23 hours; its 25 October has two, and 25. New York's
# clocks stay as they are on both.
DAYS = {
    "spring": ("2026-03-28T23:00", "2026-03-29T22:00", "2026-03-29T01:00"),
    "autumn": ("2026-10-24T22:00", "2026-10-25T23:00", "2026-10-25T00:30"),
}


@pytest.mark.parametrize("day", DAYS)
def test_three_managers_make_each_fire_of_such_a_day_once(database: Database, day: str) -> None:
    begin, end, nightly = map(utc, DAYS[day])
    noon = begin.replace(hour=13) + timedelta(days=1)
    expected = {
        ("half past two", "30 2 * * *", "Europe/Madrid"): [nightly],
        ("midnight", "0 0 * * *", "Europe/Madrid"): [begin],
        ("hourly", "0 * * * *", "Europe/Madrid"): every(60, begin, end),
        ("often", "*/15 * * * *", "Europe/Madrid"): every(15, begin, end),
        ("elsewhere", "0 9 * * *", "America/New_York"): [noon],
        ("weekdays", "0 9 * * 1-5", "America/New_York"): [],
    }
    clock = Clock(database)
    managers = [clock.opened(database.url) for _ in range(3)]
    clock.set(begin - STEP)
    for name, expression, timezone in expected:
        created(managers[0], name.replace(" ", "-"), expression, timezone=timezone)
    assert now(managers[0]) == (begin - STEP).timestamp() * 1000

    def drain(manager: Database) -> None:
        while (fires.wait_ms(manager) or 0) <= 0:
            fires.fire(manager, "m", most=2)

    at = begin
    while at < end:
        clock.set(at)
        evidence.at_once([lambda one=one: drain(one) for one in managers])  # type: ignore[misc]
        at += STEP
    due = sorted(
        (name.replace(" ", "-"), int(time.timestamp() * 1000))
        for (name, _, _), times in expected.items()
        for time in times
    )
    assert sorted((name, at) for name, at, _ in made(database)) == due
    assert not evidence.events(database, "schedule_missed"), "none came late"
    told = [one for event in evidence.events(database, "schedule_fired") for one in event.ids]
    assert len(told) == len(set(told)) == len(due)
    for one in managers:
        one.close()
    clock.close()

"""Managers die while schedules are due: each fire has one order, what was missed is caught up."""

from __future__ import annotations

from collections import Counter

import ledger
from database import Sql
from ledger import schedules
from ledger.orders import NewOrder
from ledger.schedules import NewSchedule
from models import COMPLETED
from tests.crash.harness import Site
from tests.ledger.evidence import events
from tests.ledger.timetable import MINUTE, all_due, made
from tests.support import wait_until

MANY = 1_500
COUNT = Sql("SELECT count(*) FROM job_order WHERE schedule IS NOT NULL")
STILL_DUE = Sql("SELECT count(*) FROM schedule WHERE next_fire <= {now}")
# A queue that no manager serves: the test is about making orders, not about running them.
NOBODYS = "nobodys"


def schedule(site: Site, name: str, queue: str = "default") -> None:
    order = NewOrder("", "crash.mark", site.effects.payload(None), queue=queue)
    schedules.create(site.database, NewSchedule(name, "0 0 1 1 *", "Europe/Madrid", order))


def count(site: Site, statement: Sql) -> int:
    return int(site.database.read(statement)[0][0])


def test_a_fire_is_made_and_run_within_about_a_second(site: Site) -> None:
    schedule(site, "soon")
    site.managers(2)
    all_due(site.database, ms=-1_500)
    due = schedules.find(site.database, "soon").next_fire
    wait_until(lambda: made(site.database), "the fire is made")
    ((name, at, order),) = made(site.database)
    site.ends(order)
    row = site.order(order)
    assert (name, at, row.status, row.schedule) == ("soon", due, COMPLETED, "soon")
    # So that a slow machine fails no test: the bound itself is the duty's interval.
    assert 0 <= row.created_on - at < 5_000


def test_what_was_missed_while_nobody_was_there_is_caught_up_once(site: Site) -> None:
    names = [f"s{nth:02}" for nth in range(20)]
    for name in names:
        schedule(site, name)
    (first,) = site.managers(1)
    first.kill()
    all_due(site.database, ms=5 * 366 * 24 * 60 * MINUTE)  # every year has one
    site.managers(3)
    wait_until(lambda: count(site, STILL_DUE) == 0, "all is caught up")

    found = made(site.database)
    assert Counter(name for name, _, _ in found) == dict.fromkeys(names, 1)
    site.ends(*(order for _, _, order in found))
    missed = events(site.database, "schedule_missed")
    assert sorted(one for event in missed for one in event.ids) == sorted(one[2] for one in found)
    for event in missed:
        assert all(
            since < fire
            for since, fire in zip(event.data["since"], event.data["fires"], strict=True)
        )


def test_a_manager_killed_in_the_middle_loses_and_doubles_nothing(site: Site) -> None:
    for nth in range(MANY):
        schedule(site, f"s{nth:04}", NOBODYS)
    for turn in range(1, 4):
        dying = site.managers(2, queues="default")
        before = count(site, COUNT)
        all_due(site.database, ms=1_000 * turn)
        wait_until(lambda before=before: count(site, COUNT) > before, "fires begin")  # type: ignore[misc]
        for one in dying:
            one.kill()
        (living,) = site.managers(1, queues="default")
        wait_until(lambda: count(site, STILL_DUE) == 0, "all is made")
        living.kill()
        each = Counter(name for name, _, _ in made(site.database))
        assert set(each.values()) == {turn}
        assert len(each) == MANY
    ids = [one for event in events(site.database, "schedule_fired") for one in event.ids]
    assert sorted(ids) == sorted(order for _, _, order in made(site.database))
    assert sum(ledger.levels(site.database).by_status.values()) == 3 * MANY

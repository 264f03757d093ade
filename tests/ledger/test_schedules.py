"""Schedules as they are stored, changed, paused, deleted, and run by hand."""

from __future__ import annotations

from typing import Any

import pytest

import ledger
from database import Database
from ledger import fires, schedules
from ledger.cron import timing
from ledger.orders import NewOrder, Request
from ledger.schedules import ScheduleExists, UnknownSchedule
from models import PENDING
from tests.ledger.evidence import at_once, events, levels
from tests.ledger.timetable import (
    MINUTE,
    created,
    due_at,
    last_minute,
    made,
    new_schedule,
    now,
)


def asked(**fields: Any) -> Request:
    return Request([NewOrder(ledger.new_id(), "", "")], **fields)


def kinds(database: Database) -> list[str]:
    return [event.kind for event in events(database)]


def test_a_new_schedule_is_due_at_its_next_time(database: Database) -> None:
    before = now(database)
    row = created(database, "nightly", "30 3 * * *", timezone="Europe/Madrid", queue="q", tags="[]")
    assert (row.name, row.expression, row.timezone) == ("nightly", "30 3 * * *", "Europe/Madrid")
    assert (row.queue, row.tags, row.payload) == ("q", "[]", '{"num1":1,"num2":2}')
    assert (row.enabled, row.last_fire, row.last_order) == (1, None, None)
    assert row.next_fire == timing("30 3 * * *", "Europe/Madrid").after(before)
    assert row.created_on == row.changed_on >= before
    assert schedules.find(database, "nightly") == row
    assert [(e.kind, e.data) for e in events(database)] == [
        ("schedule_created", {"schedule": "nightly", "type": "add"})
    ]


def test_a_name_is_taken_once(database: Database) -> None:
    row = created(database)
    with pytest.raises(ScheduleExists, match="nightly"):
        created(database, expression="0 0 * * *")
    assert schedules.find(database, "nightly") == row


def test_of_many_at_once_one_creates(database: Database) -> None:
    wanted = new_schedule()
    outcomes = at_once([lambda: schedules.put(database, wanted)[1]] * 8)
    assert sorted(outcomes) == [False] * 7 + [True]
    assert kinds(database) == ["schedule_created"]


def test_what_is_not_there_is_unknown(database: Database) -> None:
    for act in (
        lambda: schedules.find(database, "none"),
        lambda: schedules.delete(database, "none"),
        lambda: schedules.set_enabled(database, "none", enabled=True),
        lambda: schedules.run(database, "none", asked()),
    ):
        with pytest.raises(UnknownSchedule):
            act()
    assert events(database) == []


def test_to_say_the_same_again_changes_nothing(database: Database) -> None:
    row, is_new = schedules.put(database, new_schedule())
    assert is_new
    assert schedules.put(database, new_schedule()) == (row, False)
    assert kinds(database) == ["schedule_created"]


@pytest.mark.parametrize("enabled", [None, True])
def test_what_is_due_stays_due_when_only_the_order_changes(
    database: Database, enabled: bool | None
) -> None:
    created(database)
    due = last_minute(database)
    due_at(database, "nightly", due)
    row, _ = schedules.put(database, new_schedule(queue="other", enabled=enabled))
    assert (row.queue, row.next_fire) == ("other", due)
    (fire,) = fires.fire(database, "m")
    assert fire.since == due
    assert ledger.find(database, fire.order).queue == "other"
    assert events(database, "schedule_changed")[0].data == {
        "schedule": "nightly",
        "fields": ["queue"],
    }


@pytest.mark.parametrize("change", [{"expression": "0 0 1 1 *"}, {"timezone": "Asia/Kolkata"}])
def test_a_new_time_counts_from_now(database: Database, change: dict[str, str]) -> None:
    created(database, expression="0 0 * * *")
    due_at(database, "nightly", last_minute(database))
    row, _ = schedules.put(database, new_schedule(**({"expression": "0 0 * * *"} | change)))
    assert row.next_fire == timing(row.expression, row.timezone).after(now(database))
    assert fires.fire(database, "m") == []


def test_a_paused_one_never_fires_and_catches_nothing_up(database: Database) -> None:
    created(database)
    due_at(database, "nightly", last_minute(database))
    row = schedules.set_enabled(database, "nightly", enabled=False)
    assert (row.enabled, row.next_fire) == (0, None)
    assert fires.wait_ms(database) is None
    assert fires.fire(database, "m") == []
    # To put it again without a word of it leaves it paused.
    assert schedules.put(database, new_schedule())[0].enabled == 0
    before = now(database)
    row = schedules.set_enabled(database, "nightly", enabled=True)
    assert row.next_fire is not None
    assert before < row.next_fire <= before + 2 * MINUTE
    assert kinds(database) == ["schedule_created", "schedule_paused", "schedule_resumed"]


def test_to_pause_and_resume_twice_is_no_event(database: Database) -> None:
    created(database, enabled=False)
    schedules.set_enabled(database, "nightly", enabled=False)
    schedules.put(database, new_schedule(enabled=True))
    schedules.put(database, new_schedule(enabled=True))
    schedules.set_enabled(database, "nightly", enabled=True)
    assert kinds(database) == ["schedule_created", "schedule_resumed"]


def test_a_change_never_brings_a_fire_again(database: Database) -> None:
    """Even if the clock was put back since the last one."""
    created(database)
    due = now(database) // MINUTE * MINUTE
    due_at(database, "nightly", due)
    fires.fire(database, "m")
    schedules.set_enabled(database, "nightly", enabled=False)
    row = schedules.set_enabled(database, "nightly", enabled=True)
    assert row.last_fire == due
    assert row.next_fire is not None
    assert row.next_fire > due


def test_a_deleted_one_leaves_its_orders(database: Database) -> None:
    created(database)
    due_at(database, "nightly", last_minute(database))
    (fire,) = fires.fire(database, "m")
    gone = schedules.delete(database, "nightly")
    assert gone.last_order == fire.order
    assert fires.wait_ms(database) is None
    assert ledger.find(database, fire.order).schedule == "nightly"
    assert kinds(database)[-1] == "schedule_deleted"
    created(database)  # the name is free again


def test_run_now_makes_an_order_and_leaves_the_fires_alone(database: Database) -> None:
    row = created(database, queue="q", priority=1, enabled=False)
    order, receipt = schedules.run(database, "nightly", asked(owner="ana"))
    found = ledger.find(database, order.id)
    assert receipt.ids == [order.id]
    assert (found.status, found.schedule, found.queue, found.priority, found.owner) == (
        *(PENDING, "nightly", "q", 1, "ana"),
    )
    assert found.run_at == found.created_on
    assert schedules.find(database, "nightly") == row
    assert [(e.kind, e.ids) for e in events(database)] == [
        ("schedule_created", []),
        ("submitted", [order.id]),
        ("schedule_run", [order.id]),
    ]
    assert levels(database) == {PENDING: 1}


def test_a_key_runs_once(database: Database) -> None:
    created(database)
    first, _ = schedules.run(database, "nightly", asked(key="k", digest=b"d"))
    _, receipt = schedules.run(database, "nightly", asked(key="k", digest=b"d"))
    assert receipt.replayed
    assert receipt.ids == [first.id]
    with pytest.raises(ledger.KeyReused):
        schedules.run(database, "nightly", asked(key="k", digest=b"other"))
    assert [one[2] for one in made(database)] == [first.id]
    assert len(events(database, "schedule_run")) == 1


def test_pages_go_by_name(database: Database) -> None:
    for name in ("c", "a", "b"):
        created(database, name)
    assert [row.name for row in schedules.page(database, "", 2)] == ["a", "b"]
    assert [row.name for row in schedules.page(database, "b", 2)] == ["c"]

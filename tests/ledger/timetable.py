"""Schedules in any state, and what came of them."""

from __future__ import annotations

from typing import Any

import ledger
from database import Database, Sql
from ledger import schedules
from ledger.schedules import NewSchedule, ScheduleRow
from tests import factories

NOW = Sql("SELECT {now}")
DUE = Sql("UPDATE schedule SET next_fire = :at, last_fire = NULL WHERE name = :name")
ALL_DUE = Sql("""
    UPDATE schedule SET next_fire = {now} - :ms, last_fire = NULL WHERE next_fire IS NOT NULL""")
MADE = Sql("SELECT schedule, run_at, id FROM job_order WHERE schedule IS NOT NULL ORDER BY id")
MINUTE = 60_000


def new_schedule(
    name: str = "nightly", expression: str = "* * * * *", **fields: Any
) -> NewSchedule:
    """A schedule that was not stored yet; fields of its order, `timezone`, `enabled`."""
    given = {key: fields.pop(key) for key in ("timezone", "enabled") if key in fields}
    order = factories.new_order(**fields)
    return NewSchedule(name, expression, given.get("timezone", "UTC"), order, given.get("enabled"))


def created(database: Database, name: str = "nightly", *args: Any, **fields: Any) -> ScheduleRow:
    return schedules.create(database, new_schedule(name, *args, **fields))


def now(database: Database) -> int:
    return int(database.read(NOW)[0][0])


def last_minute(database: Database) -> int:
    """The beginning of the minute before this one."""
    return now(database) // MINUTE * MINUTE - MINUTE


def due_at(database: Database, name: str, at: int) -> None:
    """Let a schedule's next fire be this one (ms), and its first."""
    database.write(lambda tx: tx.run(DUE, {"name": name, "at": at}))


def all_due(database: Database, ms: int = 0) -> None:
    """Let every schedule be due, since so long."""
    database.write(lambda tx: tx.run(ALL_DUE, {"ms": ms}))


def made(database: Database) -> list[tuple[str, int, str]]:
    """Of each order that a schedule made: the schedule, the time it was due, and its id."""
    return [(name, at, ledger.ids.text_id(order)) for name, at, order in database.read(MADE)]

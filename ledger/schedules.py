"""Schedules: stored, changed, paused, deleted, and run by hand.

Each holds the schedule's row from its first statement on, and so do fires: whoever has been told
that a schedule is paused or deleted sees no order of it that was made later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from database import Database, Row, Sql, Transaction
from ledger.cron import timing
from ledger.ids import text_id
from ledger.orders import LedgerError, NewOrder, Receipt, Request
from ledger.projects import FIND as PROJECT
from ledger.projects import ProjectRow
from ledger.record import Record, note
from ledger.submit import submit_in as submit_within


class UnknownSchedule(LedgerError):
    """There is no schedule of this name."""


class ScheduleExists(LedgerError):
    """There is a schedule of this name already."""


@dataclass(slots=True)
class NewSchedule:
    """A schedule as somebody wants it, and the order that it shall make, whose `id` means nothing.

    `enabled` None leaves it as it is; a new one is enabled.
    """

    name: str
    expression: str
    timezone: str
    order: NewOrder
    enabled: bool | None = None


class ScheduleRow(NamedTuple):
    """A whole schedule, columns as in the table, times in ms, JSON as text."""

    name: str
    expression: str
    timezone: str
    type: str
    payload: str
    queue: str
    priority: int
    max_attempts: int
    timeout_ms: int
    max_silence_ms: int | None
    tags: str | None
    owner: str
    enabled: int
    created_on: int
    changed_on: int
    next_fire: int | None
    last_fire: int | None
    last_order: str | None
    # Which says what the orders are, as it is when they are made.
    project: str | None


COLUMNS = ", ".join(ScheduleRow._fields)

# What somebody says of a schedule; all else the ledger keeps itself.
SAID = (
    *("expression", "timezone", "type", "payload", "queue", "priority", "max_attempts"),
    *("timeout_ms", "max_silence_ms", "tags", "project"),
)

NOW = Sql("SELECT {now}")
FIND = Sql(f"SELECT {COLUMNS} FROM schedule WHERE name = :name")
PAGE = Sql(f"SELECT {COLUMNS} FROM schedule WHERE name > :after ORDER BY name LIMIT :most")
LOCK = Sql(
    sqlite=f"SELECT {{now}}, {COLUMNS} FROM schedule WHERE name = :name",
    postgres=f"SELECT {{now}}, {COLUMNS} FROM schedule WHERE name = :name FOR UPDATE",
)
INSERT = Sql(f"""
    INSERT INTO schedule (name, {", ".join(SAID)}, owner, enabled, next_fire, created_on,
        changed_on)
    VALUES (:name, {", ".join(f":{name}" for name in SAID)}, :owner, :enabled, :next_fire, {{now}},
        {{now}})
    ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}""")
UPDATE = Sql(f"""
    UPDATE schedule SET {", ".join(f"{name} = :{name}" for name in SAID)}, enabled = :enabled,
        next_fire = :next_fire, changed_on = {{now}}
    WHERE name = :name RETURNING {COLUMNS}""")
DELETE = Sql(f"DELETE FROM schedule WHERE name = :name RETURNING {COLUMNS}")


def schedule_row(row: Row) -> ScheduleRow:
    """A `ScheduleRow` from the columns in the order of `COLUMNS`."""
    found = ScheduleRow._make(row)
    order = found.last_order
    return found if order is None else found._replace(last_order=text_id(order))


def order_of(
    row: ScheduleRow,
    order_id: str,
    projects: Mapping[str, ProjectRow],
    run_at: int | None = None,
) -> NewOrder:
    """The order that a schedule makes, due at its fire (ms), or at once.

    What its project says, as it is now, comes before what was said when the schedule was made.
    """
    said = projects.get(row.project or "", row)
    return NewOrder(
        id=order_id,
        type=row.type,
        payload=said.payload,
        queue=said.queue,
        priority=said.priority,
        max_attempts=said.max_attempts,
        timeout_ms=said.timeout_ms,
        max_silence_ms=row.max_silence_ms,
        run_at=run_at,
        owner=row.owner,
        tags=said.tags,
        schedule=row.name,
        project=row.project,
    )


def projects_of(transaction: Transaction, rows: Iterable[ScheduleRow]) -> dict[str, ProjectRow]:
    """By name the projects that these schedules run."""
    names = sorted({row.project for row in rows if row.project is not None})
    found = (transaction.rows(PROJECT, {"name": name}) for name in names)
    return {row[0]: ProjectRow._make(row) for rows in found for row in rows}


def find(database: Database, name: str) -> ScheduleRow:
    """The schedule as it is now. Raises `UnknownSchedule`, `DatabaseAway`."""
    return _only(name, database.read(FIND, {"name": name}))


def page(database: Database, after: str, most: int) -> list[ScheduleRow]:
    """Schedules by name, from behind `after` ('' begins). Raises `DatabaseAway`."""
    return [schedule_row(row) for row in database.read(PAGE, {"after": after, "most": most})]


def create(database: Database, wanted: NewSchedule) -> ScheduleRow:
    """Store a new schedule. Raises `ScheduleExists`, `DatabaseAway`."""

    def work(transaction: Transaction) -> ScheduleRow:
        made = _insert(transaction, wanted)
        if made is None:
            raise ScheduleExists(wanted.name)
        return made

    return database.write(work)


def put(database: Database, wanted: NewSchedule) -> tuple[ScheduleRow, bool]:
    """Store a schedule in place of the one of its name; whether there was none.

    What is wanted already changes nothing. The next fire stays as it is unless the expression or
    the zone changes, so that none is lost by saying again what was said. Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> tuple[ScheduleRow, bool]:
        while True:
            found = transaction.rows(LOCK, {"name": wanted.name})
            if found:
                now, before = found[0][0], schedule_row(found[0][1:])
                enabled = before.enabled if wanted.enabled is None else wanted.enabled
                said = _said(wanted) | {"enabled": int(enabled)}
                return _change(transaction, before, now, said), False
            made = _insert(transaction, wanted)
            if made is not None:  # else another came first, and may be gone again
                return made, True

    return database.write(work)


def set_enabled(database: Database, name: str, *, enabled: bool) -> ScheduleRow:
    """Pause a schedule, or resume it from its next fire on. Raises `UnknownSchedule`,
    `DatabaseAway`."""

    def work(transaction: Transaction) -> ScheduleRow:
        now, before = _lock(transaction, name)
        said = {field: getattr(before, field) for field in SAID} | {"enabled": int(enabled)}
        return _change(transaction, before, now, said)

    return database.write(work)


def delete(database: Database, name: str) -> ScheduleRow:
    """Delete a schedule, not its orders; as it was. Raises `UnknownSchedule`, `DatabaseAway`."""

    def work(transaction: Transaction) -> ScheduleRow:
        gone = _only(name, transaction.rows(DELETE, {"name": name}))
        note(transaction, "schedule_deleted", schedule=name)
        return gone

    return database.write(work)


def run(database: Database, name: str, asked: Request) -> tuple[NewOrder, Receipt]:
    """Make an order of a schedule now, paused or not; its fires stay as they are.

    `asked` has the id of the order to make in `orders[0]`, and perhaps a key. Raises
    `UnknownSchedule`, `KeyReused`, `KeySpent`, `DatabaseAway`.
    """

    def work(transaction: Transaction) -> tuple[NewOrder, Receipt]:
        _, row = _lock(transaction, name)
        order = order_of(row, asked.orders[0].id, projects_of(transaction, [row]))
        order.owner = asked.owner
        request = Request([order], asked.owner, asked.key, asked.digest)
        (receipt,) = submit_within(transaction, [request])
        if receipt.refusal is not None:
            raise receipt.refusal
        if not receipt.replayed:
            record = Record()
            record.event("schedule_run", receipt.ids, schedule=name)
            record.write(transaction)
        return order, receipt

    return database.write(work)


def _lock(transaction: Transaction, name: str) -> tuple[int, ScheduleRow]:
    """The time now, and the schedule, which nobody else changes or fires until the end."""
    rows = transaction.rows(LOCK, {"name": name})
    if not rows:
        raise UnknownSchedule(name)
    return rows[0][0], schedule_row(rows[0][1:])


def _insert(transaction: Transaction, wanted: NewSchedule) -> ScheduleRow | None:
    """The new schedule, or None when there is one of its name."""
    enabled = wanted.enabled is not False
    ((now,),) = transaction.rows(NOW)
    following = timing(wanted.expression, wanted.timezone).after(now) if enabled else None
    parameters = _said(wanted) | {
        "name": wanted.name,
        "owner": wanted.order.owner,
        "enabled": int(enabled),
        "next_fire": following,
    }
    rows = transaction.rows(INSERT, parameters)
    if not rows:
        return None
    note(transaction, "schedule_created", schedule=wanted.name, type=wanted.order.type)
    return schedule_row(rows[0])


def _change(
    transaction: Transaction, before: ScheduleRow, now: int, said: dict[str, Any]
) -> ScheduleRow:
    differ = [field for field in SAID if getattr(before, field) != said[field]]
    switched = before.enabled != said["enabled"]
    if not differ and not switched:
        return before
    following = before.next_fire
    if not said["enabled"]:
        following = None
    elif switched or {"expression", "timezone"} & set(differ):
        # Never a second time for the same moment, even when the clock was put back.
        least = max(now, before.last_fire or 0)
        following = timing(said["expression"], said["timezone"]).after(least)
    parameters = said | {"name": before.name, "next_fire": following}
    after = schedule_row(transaction.rows(UPDATE, parameters)[0])
    if differ:
        note(transaction, "schedule_changed", schedule=before.name, fields=differ)
    if switched:
        kind = "schedule_resumed" if said["enabled"] else "schedule_paused"
        note(transaction, kind, schedule=before.name)
    return after


def _said(wanted: NewSchedule) -> dict[str, Any]:
    timed = {"expression": wanted.expression, "timezone": wanted.timezone}
    return timed | {field: getattr(wanted.order, field) for field in SAID if field not in timed}


def _only(name: str, rows: list[Row]) -> ScheduleRow:
    if not rows:
        raise UnknownSchedule(name)
    return schedule_row(rows[0])

"""Fires: what is due makes its orders, and each fire exactly one.

In one transaction a schedule's next fire moves on, in a statement that names the one it had, and
the order is made. Its `next_fire` always lies after its `last_fire`, so no fire can come again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from database import Database, Sql, Transaction
from ledger.cron import BadExpression, BadTimezone, timing
from ledger.ids import new_ids
from ledger.record import Record
from ledger.schedules import COLUMNS, ScheduleRow, order_of, projects_of, schedule_row
from ledger.submit import insert as insert_orders

BATCH = 100

# Later than that, nobody was there to make it in time.
MISSED_MS = 10_000

WAIT = Sql("SELECT min(next_fire) - {now} FROM schedule")

# What another manager is just firing is passed over: it is in good hands.
_DUE = f"""
    SELECT {{now}}, {COLUMNS} FROM schedule WHERE next_fire <= {{now}}
    ORDER BY next_fire LIMIT :most"""
DUE = Sql(sqlite=_DUE, postgres=f"{_DUE} FOR UPDATE SKIP LOCKED")

# Many schedules are due at the same moment, so the guard is none that an index matches.
MOVE = Sql(
    sqlite="""
    UPDATE schedule SET next_fire = :next_fire, last_fire = :fire, last_order = :id,
        enabled = :enabled
    WHERE name = :name AND next_fire = :due RETURNING name""",
    postgres="""
    UPDATE schedule AS s SET next_fire = r.next_fire, last_fire = r.fire, last_order = r.id,
        enabled = r.enabled
    FROM json_to_recordset(CAST(:rows AS json)) AS r (name text, due bigint, fire bigint,
        next_fire bigint, id uuid, enabled smallint)
    WHERE s.name = r.name AND s.next_fire IS NOT DISTINCT FROM r.due RETURNING s.name""",
)


class Fire(NamedTuple):
    """A fire that made its order; `since` is the first fire it stands for (ms).

    `late` says that nobody made it in time. `fault` says why the schedule has no next one.
    """

    schedule: str
    order: str
    since: int
    at: int
    late: bool
    fault: str | None = None


class _Step(NamedTuple):
    row: ScheduleRow
    fire: Fire
    following: int | None


def wait_ms(database: Database) -> int | None:
    """How long until the next fire of all, in ms, 0 or less when it is due; None without any.

    Raises `DatabaseAway`.
    """
    wait = database.read(WAIT)[0][0]
    return None if wait is None else int(wait)


def fire(database: Database, manager: str, most: int = BATCH) -> list[Fire]:
    """Make the orders of at most so many schedules that are due, whatever their types.

    Fires that nobody made in time are caught up by one order, for the latest of them. Any number
    of managers may do it at once. Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> list[Fire]:
        due = transaction.rows(DUE, {"most": most})
        if not due:
            return []
        ids = new_ids(len(due))
        steps = [
            _step(schedule_row(row[1:]), row[0], order_id)
            for row, order_id in zip(due, ids, strict=True)
        ]
        moved = _move(transaction, steps)
        steps = [step for step in steps if step.row.name in moved]
        projects = projects_of(transaction, [step.row for step in steps])
        insert_orders(
            transaction,
            [order_of(step.row, step.fire.order, projects, step.fire.at) for step in steps],
        )
        fires = [step.fire for step in steps]
        _record(transaction, manager, fires)
        return fires

    return database.write(work)


def _step(row: ScheduleRow, now: int, order_id: str) -> _Step:
    due = row.next_fire
    assert due is not None, "due is what has a next fire"
    at, following, fault = due, None, None
    try:
        times = timing(row.expression, row.timezone)
        following = times.after(due)
        if following is not None and following <= now:
            at = times.latest(due, now)
            following = times.after(now)
    except (BadExpression, BadTimezone) as error:
        fault = f"{row.expression} {row.timezone}: {error}"
    late = now - due > MISSED_MS
    return _Step(row, Fire(row.name, order_id, due, at, late, fault), following)


def _move(transaction: Transaction, steps: Sequence[_Step]) -> set[str]:
    """Let the schedules' next fires move on; the names of those that did."""
    rows: list[dict[str, Any]] = [
        {
            "name": step.row.name,
            "due": step.row.next_fire,
            "fire": step.fire.at,
            "next_fire": step.following,
            "id": step.fire.order,
            "enabled": int(step.fire.fault is None),
        }
        for step in steps
    ]
    if transaction.dialect == "sqlite":
        for row in rows:
            row["id"] = transaction.key(row["id"])
        return {name for (name,) in transaction.many_rows(MOVE, rows)}
    return {name for (name,) in transaction.rows(MOVE, {"rows": json.dumps(rows)})}


def _record(transaction: Transaction, manager: str, fires: Sequence[Fire]) -> None:
    record = Record()
    record.event(
        "schedule_fired",
        [one.order for one in fires],
        manager,
        schedules=[one.schedule for one in fires],
        fires=[one.at for one in fires],
    )
    late = [one for one in fires if one.late]
    if late:
        record.event(
            "schedule_missed",
            [one.order for one in late],
            manager,
            schedules=[one.schedule for one in late],
            since=[one.since for one in late],
            fires=[one.at for one in late],
        )
    for one in fires:
        if one.fault is not None:
            record.event("schedule_paused", (), manager, schedule=one.schedule, reason=one.fault)
    record.write(transaction)

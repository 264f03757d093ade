"""Actions on all orders that match a filter: cancel, retry or delete, a batch at a time.

An action first counts what matches, then works it off along the ids, which only grow; what was
made after it is left alone. How far it is moves in the transaction of each batch, and only from
where the batch began: so any number of managers may work at one action, in turns or at once, each
order is counted once, and whoever dies is simply followed. An order that somebody else moved
first is passed over.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, NamedTuple

from database import Database, Row, Sql, Transaction
from ledger.ids import text_id
from ledger.matching import (
    CLOCK_SLACK_MS,
    OLDEST,
    SEARCHED,
    Conditions,
    Filter,
    any_status,
    id_at,
    shows,
)
from ledger.orders import COLUMNS, LedgerError, order_row
from ledger.record import Record
from ledger.steer import RETRY_MANY, cancel_in, delete_in, keep_attempt
from models import CANCELLED, ENDED, FAILED, PENDING, WIP

CANCEL, RETRY, DELETE = "cancel", "retry", "delete"
COUNTING, WORKING, DONE = "counting", "working", "done"
MOVABLE = {CANCEL: (PENDING, WIP), RETRY: (FAILED, CANCELLED), DELETE: ENDED}

# So many rows are looked at by one statement, fewer where their payloads are read for `q`.
WINDOW, SEARCH_WINDOW = 5_000, 500
BATCH = 100
HOLD_MS = 5_000
# How long an action that is done can be asked after.
LIFE_MS = 7 * 24 * 3_600_000

_FIELDS = "id, kind, wanted, dry_run, owner, state, place, until, total, done, created_on, ended_on"

CREATE = Sql(f"""
    INSERT INTO bulk_action (id, kind, wanted, dry_run, owner, state, place, until, total, done,
        created_on, held_until)
    VALUES (:id, :kind, :wanted, :dry_run, :owner, 'counting', :place, :until, 0, 0, {{now}}, 0)
    RETURNING {_FIELDS}""")
FORGET = Sql("DELETE FROM bulk_action WHERE ended_on < {now} - :life")
FIND = Sql(f"SELECT {_FIELDS} FROM bulk_action WHERE id = :id")
NOW = Sql("SELECT {now}")
IS_OPEN = Sql("SELECT 1 FROM bulk_action WHERE ended_on IS NULL LIMIT 1")

_FREE = "ended_on IS NULL AND (held_until <= {now} OR manager = :manager)"
TAKE = Sql(
    f"UPDATE bulk_action SET manager = :manager, held_until = {{now}} + :hold "
    f"WHERE id = (SELECT id FROM bulk_action WHERE {_FREE} ORDER BY id LIMIT 1) AND {_FREE} "
    f"RETURNING {_FIELDS}"
)
ADVANCE = Sql(f"""
    UPDATE bulk_action SET place = :place, total = total + :total, done = done + :done,
        state = :state, held_until = {{now}} + :hold,
        ended_on = CASE WHEN :state = 'done' THEN {{now}} END
    WHERE id = :id AND state = :before AND place = :from RETURNING {_FIELDS}""")

LOCK_RETRIED = Sql(
    sqlite=f"SELECT {COLUMNS} FROM job_order WHERE id {{among}} AND "
    f"{any_status(MOVABLE[RETRY])} ORDER BY id",
    postgres=f"SELECT {COLUMNS} FROM job_order WHERE id {{among}} AND "
    f"{any_status(MOVABLE[RETRY])} ORDER BY id FOR UPDATE",
)
# Who waits for an order holds those locked that it has: nobody can end them meanwhile.
PATIENCE = Sql("SET LOCAL lock_timeout = '500ms'")

END_OF_WINDOW = Sql(
    "SELECT id FROM job_order WHERE id > :place AND id < :until ORDER BY id LIMIT 1 OFFSET :count"
)


class UnknownAction(LedgerError):
    """There is no action with this id: it never was, or it was done a week ago."""


class ActionRow(NamedTuple):
    """An action: what to do with which orders, and how far it is; times in ms."""

    id: str
    kind: str
    wanted: str
    dry_run: bool
    owner: str
    state: str
    place: str
    until: str
    total: int
    done: int
    created_on: int
    ended_on: int | None


class _OvertakenError(Exception):
    """Another manager did this batch: all of it is rolled back."""


def create(
    database: Database, action_id: str, kind: str, wanted: Filter, *, dry_run: bool, owner: str
) -> ActionRow:
    """Write an action down, to be worked off by a manager. Raises `DatabaseAway`."""
    now = int(database.read(NOW)[0][0])
    first = OLDEST
    if wanted.created_after is not None:
        first = id_at(wanted.created_after - CLOCK_SLACK_MS)
    given = {
        "id": database.key(action_id),
        "kind": kind,
        "wanted": json.dumps(asdict(wanted), separators=(",", ":")),
        "dry_run": int(dry_run),
        "owner": owner,
        "place": database.key(first),
        "until": database.key(id_at(now + CLOCK_SLACK_MS)),
    }

    def work(transaction: Transaction) -> ActionRow:
        transaction.run(FORGET, {"life": LIFE_MS})
        return _action(transaction.rows(CREATE, given)[0])

    return database.write(work)


def find(database: Database, action_id: str) -> ActionRow:
    """The action as it is now. Raises `UnknownAction`, `DatabaseAway`."""
    rows = database.read(FIND, {"id": database.key(action_id)})
    if not rows:
        raise UnknownAction(action_id)
    return _action(rows[0])


def take(database: Database, manager: str) -> ActionRow | None:
    """The oldest action that is not done and that nobody else works at. Raises `DatabaseAway`."""
    if not database.read(IS_OPEN):
        return None
    given = {"manager": manager, "hold": HOLD_MS}
    rows = database.write(lambda transaction: transaction.rows(TAKE, given))
    return _action(rows[0]) if rows else None


def step(database: Database, action: ActionRow, most: int = BATCH) -> ActionRow | None:
    """Count one window, or move one batch of at most so many; the action after that, None when
    another did it.

    Raises `DatabaseAway`, and as `RowsLocked` when somebody keeps one of the orders locked.
    """
    wanted = _wanted(action)
    end, is_last = _window(database, action, SEARCH_WINDOW if wanted.q else WINDOW)
    found = _matching(database, action, wanted, end)
    if action.state == COUNTING:
        return _counted(database, action, wanted, end, len(found), is_last=is_last)
    batch = found[:most]
    if len(found) > most:
        end, is_last = batch[-1], False

    def work(transaction: Transaction) -> ActionRow:
        if transaction.dialect == "postgresql":
            transaction.run(PATIENCE)
        done = _move(transaction, action.kind, batch) if batch else 0
        state = DONE if is_last else WORKING
        return _advance(transaction, action, end, state, done=done)

    try:
        return database.write(work)
    except _OvertakenError:
        return None


def _counted(
    database: Database, action: ActionRow, wanted: Filter, end: str, n: int, *, is_last: bool
) -> ActionRow | None:
    """The action after so many more were counted; at the end the work begins from the start."""
    state = COUNTING
    if is_last:
        state = DONE if action.dry_run else WORKING
        end = OLDEST
        if wanted.created_after is not None:
            end = id_at(wanted.created_after - CLOCK_SLACK_MS)
    try:
        return database.write(lambda tx: _advance(tx, action, end, state, total=n))
    except _OvertakenError:
        return None


def _advance(
    transaction: Transaction,
    action: ActionRow,
    place: str,
    state: str,
    *,
    total: int = 0,
    done: int = 0,
) -> ActionRow:
    given = {
        "id": transaction.key(action.id),
        "before": action.state,
        "from": transaction.key(action.place),
        "place": transaction.key(place),
        "state": state,
        "total": total,
        "done": done,
        "hold": HOLD_MS,
    }
    rows = transaction.rows(ADVANCE, given)
    if not rows:
        raise _OvertakenError
    return _action(rows[0])


def _window(database: Database, action: ActionRow, count: int) -> tuple[str, bool]:
    """The last id to look at now, and whether there is nothing behind it."""
    given = {
        "place": database.key(action.place),
        "until": database.key(action.until),
        "count": count - 1,
    }
    rows = database.read(END_OF_WINDOW, given)
    return (text_id(rows[0][0]), False) if rows else (action.until, True)


def _matching(database: Database, action: ActionRow, wanted: Filter, end: str) -> list[str]:
    """The ids of the orders up to there that match and that the action can move."""
    conditions = Conditions(wanted, database.dialect)
    allowed = MOVABLE[action.kind]
    statuses = [one for one in allowed if not wanted.status or one in wanted.status]
    if not statuses:
        return []
    where = ["id > :place", "id <= :end", "created_on <= :made", any_status(statuses)]
    columns = f"id, type, tags, error, {SEARCHED}" if wanted.q else "id"
    statement = Sql(
        f"SELECT {columns} FROM job_order "
        f"WHERE {' AND '.join([*where, *conditions.where])} ORDER BY id"
    )
    bounds = {
        "place": database.key(action.place),
        "end": database.key(end),
        "made": action.created_on,
    }
    rows = database.read(statement, conditions.parameters | bounds)
    return [text_id(row[0]) for row in rows if not wanted.q or _shows(wanted.q, row)]


def _shows(q: str, row: Row) -> bool:
    order_id, kind, tags, error, payload = row
    return shows(q, text_id(order_id), kind, (tags, error, payload))


def _move(transaction: Transaction, kind: str, order_ids: list[str]) -> int:
    if kind == CANCEL:
        return len(cancel_in(transaction, order_ids))
    if kind == DELETE:
        return delete_in(transaction, order_ids)
    return _retry(transaction, order_ids)


def _retry(transaction: Transaction, order_ids: list[str]) -> int:
    """Run again those of these orders that failed or were cancelled; how many."""
    locked = transaction.rows(LOCK_RETRIED, {"ids": transaction.ids(order_ids)})
    before = [order_row(row) for row in locked]
    if not before:
        return 0
    for order in before:
        keep_attempt(transaction, order)
    transaction.run(RETRY_MANY, {"ids": transaction.ids(order.id for order in before)})
    record = Record()
    for order in before:
        record.move(order.queue, order.type, order.status, PENDING)
    statuses = [order.status for order in before]
    record.event(
        "retried",
        [order.id for order in before],
        before=statuses if len(statuses) > 1 else statuses[0],
    )
    record.write(transaction)
    return len(before)


def _wanted(action: ActionRow) -> Filter:
    fields: dict[str, Any] = json.loads(action.wanted)
    return Filter(**(fields | {"status": tuple(fields["status"])}))


def _action(row: Row) -> ActionRow:
    fields = dict(zip(ActionRow._fields, row, strict=True))
    ids = {name: text_id(fields[name]) for name in ("id", "place", "until")}
    return ActionRow(**(fields | ids | {"dry_run": bool(fields["dry_run"])}))

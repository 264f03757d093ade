"""Chores that one manager does for all: whoever comes first when one is due takes it.

Nobody else gets it while its time runs. Who dies with one is not waited for longer than that, and
who wakes up long after does at most one more step of it: chores must be harmless to do twice.
"""

from __future__ import annotations

import json
from typing import Any

from database import Database, Sql, Transaction

# No chore is due so late: such a time was written under a clock that has been put back since.
LONGEST_MS = 24 * 3_600_000

_IS_DUE = f"(chore.due_on <= {{now}} OR chore.due_on > {{now}} + {LONGEST_MS})"
TAKEN = Sql(f"SELECT 1 FROM chore WHERE name = :name AND NOT {_IS_DUE}")
TAKE = Sql(f"""
    INSERT INTO chore (name, due_on, manager) VALUES (:name, {{now}} + :hold_ms, :manager)
    ON CONFLICT (name) DO UPDATE SET due_on = excluded.due_on, manager = excluded.manager
    WHERE {_IS_DUE} RETURNING data""")
KEEP = Sql("""
    UPDATE chore SET due_on = {now} + :due_ms, data = :data
    WHERE name = :name AND manager = :manager RETURNING name""")
DATA = Sql("SELECT data FROM chore WHERE name = :name")


def take(database: Database, name: str, manager: str, hold_ms: int) -> dict[str, Any] | None:
    """Take a chore that is due, for so long; what its last holder left, or None when it is not.

    Raises `DatabaseAway`.
    """
    if database.read(TAKEN, {"name": name}):
        return None
    parameters = {"name": name, "manager": manager, "hold_ms": hold_ms}
    rows = database.write(lambda transaction: transaction.rows(TAKE, parameters))
    return _read(rows[0][0]) if rows else None


def keep(database: Database, name: str, manager: str, due_ms: int, data: dict[str, Any]) -> bool:
    """Leave word for the next step, and let nobody else take the chore for so long from now.

    False when another has it by now, which changes nothing. Raises `DatabaseAway`.
    """
    return database.write(lambda t: keep_in(t, name, manager, due_ms, data))


def keep_in(
    transaction: Transaction, name: str, manager: str, due_ms: int, data: dict[str, Any]
) -> bool:
    """The same, as a part of more."""
    parameters = {"name": name, "manager": manager, "due_ms": due_ms}
    left = parameters | {"data": json.dumps(data, separators=(",", ":"))}
    return bool(transaction.rows(KEEP, left))


def left(database: Database, name: str) -> dict[str, Any]:
    """What the last holder of a chore left. Raises `DatabaseAway`."""
    rows = database.read(DATA, {"name": name})
    return _read(rows[0][0]) if rows else {}


def _read(text: str | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text) if text else {}
    return found

"""Projects: repositories saved under a name, with the order that runs them, and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from database import Database, Row, Sql, Transaction
from ledger.ids import text_id
from ledger.orders import LedgerError, NewOrder, Receipt, Request
from ledger.record import Record, note
from ledger.submit import submit_in

TYPE = "github"
RECENT = 20
MEASURED = 1_000


class UnknownProject(LedgerError):
    """There is no project of this name."""


class ProjectExists(LedgerError):
    """There is a project of this name already."""


class ProjectInUse(LedgerError):
    """Schedules run this project."""

    def __init__(self, name: str, schedules: Sequence[str]) -> None:
        super().__init__(
            f"project {name} is run by schedules ({', '.join(schedules)}): delete them first"
        )


class ProjectRow(NamedTuple):
    """A whole project, columns as in the table, times in ms, JSON as text."""

    name: str
    payload: str
    queue: str
    priority: int
    max_attempts: int
    timeout_ms: int
    tags: str | None
    owner: str
    created_on: int
    changed_on: int


class Run(NamedTuple):
    """An order that ran a project; times in ms."""

    id: str
    status: str
    created_on: int
    started_on: int | None
    completed_on: int | None


class Runs(NamedTuple):
    """The latest runs of a project, newest first; and of at most the latest thousand how many have
    ended, and their mean from start to end in ms."""

    recent: list[Run]
    ended: int
    mean_ms: float | None


COLUMNS = ", ".join(ProjectRow._fields)
SAID = ("payload", "queue", "priority", "max_attempts", "timeout_ms", "tags")

FIND = Sql(f"SELECT {COLUMNS} FROM project WHERE name = :name")
PAGE = Sql(f"SELECT {COLUMNS} FROM project WHERE name > :after ORDER BY name LIMIT :most")
LOCK = Sql(
    sqlite=f"SELECT {COLUMNS} FROM project WHERE name = :name",
    postgres=f"SELECT {COLUMNS} FROM project WHERE name = :name FOR UPDATE",
)
INSERT = Sql(f"""
    INSERT INTO project (name, {", ".join(SAID)}, owner, created_on, changed_on)
    VALUES (:name, {", ".join(f":{name}" for name in SAID)}, :owner, {{now}}, {{now}})
    ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}""")
UPDATE = Sql(f"""
    UPDATE project SET {", ".join(f"{name} = :{name}" for name in SAID)}, changed_on = {{now}}
    WHERE name = :name RETURNING {COLUMNS}""")
SCHEDULES = Sql("SELECT name FROM schedule WHERE project = :name ORDER BY name LIMIT 5")
DELETE = Sql(f"DELETE FROM project WHERE name = :name RETURNING {COLUMNS}")
RUNS = Sql("""
    SELECT id, status, created_on, started_on, completed_on FROM job_order
    WHERE project = :name ORDER BY id DESC LIMIT :most""")
MEAN = Sql("""
    SELECT count(*), avg(completed_on - started_on) FROM (
        SELECT started_on, completed_on FROM job_order
        WHERE project = :name ORDER BY id DESC LIMIT :most) AS latest
    WHERE started_on IS NOT NULL AND completed_on IS NOT NULL""")


def find(database: Database, name: str) -> ProjectRow:
    """The project as it is now. Raises `UnknownProject`, `DatabaseAway`."""
    return _only(name, database.read(FIND, {"name": name}))


def page(database: Database, after: str, most: int) -> list[ProjectRow]:
    """Projects by name, from behind `after` ('' begins). Raises `DatabaseAway`."""
    return [ProjectRow._make(row) for row in database.read(PAGE, {"after": after, "most": most})]


def runs(database: Database, name: str) -> Runs:
    """What ran under this name, also before it was deleted. Raises `DatabaseAway`."""
    recent = database.read(RUNS, {"name": name, "most": RECENT})
    ((ended, mean),) = database.read(MEAN, {"name": name, "most": MEASURED})
    return Runs(
        [Run(text_id(row[0]), *row[1:]) for row in recent],
        ended,
        None if mean is None else float(mean),
    )


def create(database: Database, name: str, order: NewOrder) -> ProjectRow:
    """Save a new project, which runs as this order. Raises `ProjectExists`, `DatabaseAway`."""

    def work(transaction: Transaction) -> ProjectRow:
        made = _insert(transaction, name, order)
        if made is None:
            raise ProjectExists(name)
        return made

    return database.write(work)


def put(database: Database, name: str, order: NewOrder) -> tuple[ProjectRow, bool]:
    """Save a project in place of the one of its name; whether there was none.

    What is wanted already changes nothing. Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> tuple[ProjectRow, bool]:
        while True:
            found = transaction.rows(LOCK, {"name": name})
            if found:
                return _change(transaction, ProjectRow._make(found[0]), order), False
            made = _insert(transaction, name, order)
            if made is not None:  # else another came first, and may be gone again
                return made, True

    return database.write(work)


def delete(database: Database, name: str) -> ProjectRow:
    """Delete a project, not its orders; as it was.

    Raises `UnknownProject`, `ProjectInUse`, `DatabaseAway`.
    """

    def work(transaction: Transaction) -> ProjectRow:
        _only(name, transaction.rows(LOCK, {"name": name}))
        schedules = transaction.rows(SCHEDULES, {"name": name})
        if schedules:
            raise ProjectInUse(name, [found for (found,) in schedules])
        gone = _only(name, transaction.rows(DELETE, {"name": name}))
        note(transaction, "project_deleted", project=name)
        return gone

    return database.write(work)


def run(database: Database, name: str, asked: Request) -> tuple[NewOrder, Receipt]:
    """Make an order of a project.

    `asked` has the id of the order to make in `orders[0]`, and perhaps a key. Raises
    `UnknownProject`, `KeyReused`, `KeySpent`, `DatabaseAway`.
    """

    def work(transaction: Transaction) -> tuple[NewOrder, Receipt]:
        row = _only(name, transaction.rows(LOCK, {"name": name}))
        order = order_of(row, asked.orders[0].id, asked.owner)
        (receipt,) = submit_in(
            transaction, [Request([order], asked.owner, asked.key, asked.digest)]
        )
        if receipt.refusal is not None:
            raise receipt.refusal
        if not receipt.replayed:
            record = Record()
            record.event("project_run", receipt.ids, project=name)
            record.write(transaction)
        return order, receipt

    return database.write(work)


def order_of(row: ProjectRow, order_id: str, owner: str) -> NewOrder:
    """The order that runs a project."""
    return NewOrder(
        id=order_id,
        type=TYPE,
        payload=row.payload,
        queue=row.queue,
        priority=row.priority,
        max_attempts=row.max_attempts,
        timeout_ms=row.timeout_ms,
        owner=owner,
        tags=row.tags,
        project=row.name,
    )


def _insert(transaction: Transaction, name: str, order: NewOrder) -> ProjectRow | None:
    """The new project, or None when there is one of its name."""
    rows = transaction.rows(INSERT, _said(order) | {"name": name, "owner": order.owner})
    if not rows:
        return None
    note(transaction, "project_created", project=name)
    return ProjectRow._make(rows[0])


def _change(transaction: Transaction, before: ProjectRow, order: NewOrder) -> ProjectRow:
    said = _said(order)
    differ = [field for field in SAID if getattr(before, field) != said[field]]
    if not differ:
        return before
    (row,) = transaction.rows(UPDATE, said | {"name": before.name})
    note(transaction, "project_changed", project=before.name, fields=differ)
    return ProjectRow._make(row)


def _said(order: NewOrder) -> dict[str, Any]:
    return {field: getattr(order, field) for field in SAID}


def _only(name: str, rows: list[Row]) -> ProjectRow:
    if not rows:
        raise UnknownProject(name)
    return ProjectRow._make(rows[0])

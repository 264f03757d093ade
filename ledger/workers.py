"""The registry: a row a worker, written by its manager; and which managers there are beside them.

A manager that has stopped takes its workers with it at once. Those of one that died, by proof or
by its silence, read as lost for ten minutes, and so does a worker that a living manager lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from database import Database, Sql, Transaction
from ledger.ids import text_id
from ledger.managers import SILENT_BEATS
from ledger.record import Record
from models import WIP

STARTING, IDLE, BUSY = "starting", "idle", "busy"
HUNG, DRAINING, LOST = "hung", "draining", "lost"
THREAD, PROCESS = "thread", "process"

LOST_MS = 600_000
# A worker's name is its manager's and a number.
SEPARATOR = "/"
# Beyond what a manager counts to, and within what the column holds.
MOST_NUMBER = 2**31 - 1


class WorkerReport(NamedTuple):
    """What a manager says of one of its workers; `cpu` in percent of one core, None if unknown."""

    id: str
    state: str
    kind: str
    cpu: float | None
    ram_mb: float
    assigned: int
    done: int
    order_id: str | None


class WorkerNews(NamedTuple):
    """What became of a worker (`kind` of event), and of which order's doing, if of any."""

    kind: str
    worker: str
    order_id: str | None = None
    why: str | None = None


class WorkerRow(NamedTuple):
    """A worker as the database knows it; times in ms.

    `last_seen` is when its manager last gave a sign of life, or it was last told of; `order_status`
    is that of the order it has or, when it is lost, last had.
    """

    id: str
    manager: str
    number: int
    state: str
    kind: str
    cpu: float | None
    ram_mb: float | None
    assigned: int
    done: int
    order_id: str | None
    order_status: str | None
    last_seen: int


class CrewRow(NamedTuple):
    """A manager that is there, or that was lost not long ago; one that has given no sign of life
    for some heartbeats is `silent` until it is lost."""

    id: str
    host: str
    pid: int
    version: str
    slots: int
    transport: str
    queues: str | None
    state: str
    started_on: int
    last_beat: int
    proof: str
    silent_ms: int


# When a manager was lost, NULL for one that lives.
_GONE_ON = """(CASE WHEN m.ended_on IS NOT NULL THEN m.ended_on
        WHEN m.last_beat < {now} - m.stale_ms THEN m.last_beat + m.stale_ms END)"""
_SHOWN = f"""m.state <> 'stopped'
        AND ({_GONE_ON} IS NULL OR {_GONE_ON} > {{now}} - {LOST_MS})"""
_IS_LOST = f"(w.state = 'lost' OR {_GONE_ON} IS NOT NULL)"

# `{order_id}` is the column as the database holds it.
_REPORT = """
    INSERT INTO worker (id, manager, number, state, kind, cpu, ram_mb, assigned, done, order_id,
        seen_on, lost_on)
    SELECT id, :manager, number, state, kind, cpu, ram_mb, assigned, done, {order_id}, {{now}},
        CASE WHEN state = 'lost' THEN {{now}} END
    FROM {rows}
    WHERE true
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, kind = excluded.kind,
        cpu = excluded.cpu, ram_mb = excluded.ram_mb, assigned = excluded.assigned,
        done = excluded.done, order_id = excluded.order_id, seen_on = excluded.seen_on,
        lost_on = coalesce(worker.lost_on, excluded.lost_on)"""
_FIELDS = ("id", "number", "state", "kind", "cpu", "ram_mb", "assigned", "done", "order_id")
_EXTRACTED = ", ".join(f"value ->> '{name}' AS {name}" for name in _FIELDS)
REPORT = Sql(
    sqlite=_REPORT.format(
        order_id="unhex(replace(order_id, '-', ''))",
        rows=f"(SELECT {_EXTRACTED} FROM json_each(:rows)) AS given",
    ),
    postgres=_REPORT.format(
        order_id="order_id",
        rows="""json_to_recordset(CAST(:rows AS json)) AS given (id text, number int, state text,
            kind text, cpu float, ram_mb float, assigned int, done bigint, order_id uuid)""",
    ),
)

_REMOVE = "DELETE FROM worker WHERE id IN (SELECT {})"
REMOVE = Sql(
    sqlite=_REMOVE.format("value FROM json_each(:gone)"),
    postgres=_REMOVE.format("json_array_elements_text(CAST(:gone AS json))"),
)

WORKERS = Sql(f"""
    SELECT w.id, w.manager, w.number, CASE WHEN {_IS_LOST} THEN 'lost' ELSE w.state END, w.kind,
        CASE WHEN NOT {_IS_LOST} THEN w.cpu END, CASE WHEN NOT {_IS_LOST} THEN w.ram_mb END,
        CASE WHEN NOT {_IS_LOST} THEN w.assigned
            WHEN o.status = '{WIP}' AND o.manager = w.manager THEN 1 ELSE 0 END,
        w.done, w.order_id, o.status,
        CASE WHEN w.state = 'lost' OR w.seen_on > m.last_beat THEN w.seen_on ELSE m.last_beat END
    FROM worker AS w JOIN manager AS m ON m.id = w.manager
        LEFT JOIN job_order AS o ON o.id = w.order_id
    WHERE {_SHOWN} AND (w.lost_on IS NULL OR w.lost_on > {{now}} - {LOST_MS})
        AND (w.manager, w.number) > (:manager, :number)
    ORDER BY w.manager, w.number LIMIT :most""")

CREWS = Sql(f"""
    SELECT m.id, m.host, m.pid, m.version, m.slots, m.transport, m.queues,
        CASE WHEN {_GONE_ON} IS NOT NULL THEN 'lost'
            WHEN {{now}} - m.last_beat >= {SILENT_BEATS} * m.heartbeat_ms THEN 'silent'
            ELSE m.state END,
        m.started_on, m.last_beat, m.proof, {{now}} - m.last_beat
    FROM manager AS m WHERE {_SHOWN} ORDER BY m.id""")

STATES = Sql(f"""
    SELECT w.state, count(*) FROM worker AS w JOIN manager AS m ON m.id = w.manager
    WHERE m.state <> 'stopped' AND NOT {_IS_LOST} GROUP BY w.state""")

_STALE = f"""
    FROM worker WHERE lost_on <= {{now}} - {LOST_MS}
        OR NOT EXISTS (SELECT 1 FROM manager AS m WHERE m.id = worker.manager AND {_SHOWN})"""
ANY_STALE = Sql(f"SELECT 1 {_STALE} LIMIT 1")
PRUNE = Sql(f"DELETE {_STALE}")


def report_workers(
    database: Database,
    manager: str,
    rows: Sequence[WorkerReport],
    gone: Iterable[str] = (),
    news: Iterable[WorkerNews] = (),
) -> None:
    """Write what a manager's workers do, forget those that are gone, note what became of any.

    Raises `DatabaseAway`.
    """
    given = [row._asdict() | {"number": number_of(row.id)} for row in rows]
    removed = json.dumps(list(gone))

    def work(transaction: Transaction) -> None:
        if removed != "[]":
            transaction.run(REMOVE, {"gone": removed})
        if given:
            transaction.run(REPORT, {"manager": manager, "rows": json.dumps(given)})
        _note(transaction, manager, news)

    database.write(work)


def workers(database: Database, limit: int, after: str = "") -> list[WorkerRow]:
    """At most so many workers that come after this one, by manager and number.

    Raises `DatabaseAway`.
    """
    place = {"manager": manager_of(after), "number": number_of(after) if after else 0}
    rows = database.read(WORKERS, place | {"most": limit})
    found = [WorkerRow._make(row) for row in rows]
    return [row._replace(order_id=row.order_id and text_id(row.order_id)) for row in found]


def crews(database: Database) -> list[CrewRow]:
    """The managers whose workers are shown, by id. Raises `DatabaseAway`."""
    return [CrewRow._make(row) for row in database.read(CREWS)]


def count_workers(database: Database) -> dict[str, int]:
    """How many workers of living managers are in each state. Raises `DatabaseAway`."""
    return {state: int(n) for state, n in database.read(STATES)}


def prune_workers(database: Database) -> None:
    """Forget the workers of managers that stopped, and what was lost long ago.

    Raises `DatabaseAway`.
    """
    if database.read(ANY_STALE):
        database.write(lambda transaction: transaction.run(PRUNE))


def manager_of(worker: str) -> str:
    """The manager that a worker of this name belongs to."""
    return worker.rpartition(SEPARATOR)[0]


def number_of(worker: str) -> int:
    """Which of its manager's workers it is. Raises `ValueError` for what is no worker's name."""
    return int(worker.rpartition(SEPARATOR)[2])


def _note(transaction: Transaction, manager: str, news: Iterable[WorkerNews]) -> None:
    """One event for all of a kind; those that concern an order apart, parallel to their orders."""
    alike: dict[tuple[str, bool], list[WorkerNews]] = defaultdict(list)
    for one in news:
        alike[one.kind, one.order_id is not None].append(one)
    record = Record()
    for (kind, _), group in alike.items():
        data: dict[str, list[str | None]] = {"workers": [one.worker for one in group]}
        if any(one.why for one in group):
            data["why"] = [one.why for one in group]
        ids = [one.order_id for one in group if one.order_id is not None]
        record.event(kind, ids, manager, **data)
    record.write(transaction)

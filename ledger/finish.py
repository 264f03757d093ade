"""Letting go of orders under their lease: results, failures, retries and hand-backs, in batches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from database import Database, Row, Sql, Transaction
from ledger.callbacks import call_back
from ledger.ids import text_id
from ledger.orders import Ending
from ledger.record import Record, keep_attempts
from models import COMPLETED, NOTHING, PENDING, RETRIEVED, WIP

# On PostgreSQL the lease and the status are compared as expressions: as plain columns they made
# the planner walk all running orders for each batch. The rows come sorted by id, and the joins
# that would reorder them are off, so rows are locked by id.
_FINISH = """
    UPDATE job_order AS o SET status = {to}, result = {result},
        error = CASE WHEN {to} = 'pending' THEN NULL ELSE {error} END,
        attempts = o.attempts - {uncounted}, crashes = o.crashes + {crashed},
        manager = CASE WHEN {to} = 'pending' THEN NULL ELSE o.manager END,
        worker = CASE WHEN {to} = 'pending' THEN NULL ELSE {worker} END,
        started_on = CASE WHEN {to} = 'pending' THEN NULL
            ELSE {{now}} - {ago_ms} - {age_ms} END,
        run_ms = CASE WHEN {to} = 'pending' THEN NULL ELSE {run_ms} END,
        run_at = CASE WHEN {delay_ms} IS NULL THEN o.run_at ELSE {{now}} + {delay_ms} END,
        completed_on = CASE WHEN {to} = 'pending' THEN NULL ELSE {{now}} - {ago_ms} END,
        last_updated = {{now}}"""

_NAMES = (
    "to",
    "result",
    "error",
    "uncounted",
    "crashed",
    "worker",
    "age_ms",
    "run_ms",
    "ago_ms",
    "delay_ms",
)

_GIVEN = """unnest(CAST(:id AS uuid[]), CAST(:lease AS bigint[]), CAST(:to AS text[]),
        CAST(:result AS text[]), CAST(:error AS text[]), CAST(:uncounted AS int[]),
        CAST(:crashed AS int[]), CAST(:worker AS text[]), CAST(:age_ms AS bigint[]),
        CAST(:run_ms AS bigint[]), CAST(:ago_ms AS bigint[]), CAST(:delay_ms AS bigint[]))
        AS i (id, lease, goal, result, error, uncounted, crashed, worker, age_ms, run_ms, ago_ms,
            delay_ms)"""
_THOSE = "o.id = i.id AND o.lease + 0 = i.lease AND o.status || '' = 'wip'"
_MOVED = "RETURNING o.id, o.lease, o.callback_url IS NOT NULL"
_ON_SQLITE = (
    _FINISH.format(**{name: f":{name}" for name in _NAMES})
    + " WHERE id = :id AND lease = :lease AND status = 'wip'"
    " RETURNING id, lease, callback_url IS NOT NULL"
)
_ON_POSTGRES = _FINISH.format(**{name: f"i.{name}" for name in _NAMES}).replace("i.to", "i.goal")

FINISH = Sql(
    sqlite=_ON_SQLITE,
    postgres=f"{_ON_POSTGRES} FROM {_GIVEN} WHERE {_THOSE} {_MOVED}",
)
FINISH_FREE = Sql(
    sqlite=_ON_SQLITE,
    postgres=f"""
    WITH i AS MATERIALIZED (
        SELECT i.* FROM {_GIVEN} JOIN job_order AS o ON {_THOSE}
        ORDER BY o.id FOR NO KEY UPDATE OF o SKIP LOCKED)
    {_ON_POSTGRES} FROM i WHERE o.id = i.id {_MOVED}""",
)

# An order that somebody keeps locked must not hold up those that end with it.
PATIENCE = Sql("SET LOCAL lock_timeout = '500ms'")

FIND_STATUS = Sql("SELECT lease, status, error FROM job_order WHERE id = :id")

FIND_ATTEMPT = Sql("SELECT outcome FROM attempt WHERE order_id = :id AND lease = :lease")

_PARAMETERS = ("id", "lease", *_NAMES)
_values = attrgetter("lease", *_NAMES)
_by_id = attrgetter("id")

# What an event says beside, and of which field of the endings.
_TOLD_IF_KNOWN = (("spent", "spent"), ("allowed", "allowed"), ("delays", "delay_ms"))


def finish(
    database: Database, manager: str, endings: Sequence[Ending], *, repeated: bool = False
) -> list[Ending]:
    """Move these orders to where their endings say; the ones whose lease was lost.

    What is lost changes nothing and leaves the event `late_result_discarded`. `repeated` says that
    an earlier try may have committed unseen: then an order that already is where this lease's
    holder wanted it counts as moved. Raises `DatabaseAway`, and as `RowsLocked` when somebody keeps
    one of the orders locked.
    """
    return _finish(database, manager, endings, repeated, FINISH).late


def finish_free(
    database: Database, manager: str, endings: Sequence[Ending], *, repeated: bool = False
) -> Finished:
    """The same, but waits for no order: one that somebody has locked is among the `locked`."""
    return _finish(database, manager, endings, repeated, FINISH_FREE)


class Finished(NamedTuple):
    """Of some endings, those whose lease was lost, and those left for somebody's lock."""

    late: list[Ending]
    locked: list[Ending]


def _finish(
    database: Database, manager: str, endings: Sequence[Ending], repeated: bool, statement: Sql
) -> Finished:
    ordered = sorted(endings, key=_by_id)
    first: dict[tuple[str, int], Ending] = {}
    for ending in ordered:
        first.setdefault((ending.id, ending.lease), ending)

    def work(transaction: Transaction) -> Finished:
        if transaction.dialect == "postgresql":
            transaction.run(PATIENCE)
        moved = _move(transaction, statement, list(first.values()))
        applied, done = ordered, Finished([], [])
        if len(moved) < len(ordered):
            applied = [first[lease] for lease in first if lease in moved]
            took = set(map(id, applied))
            missed = [ending for ending in ordered if id(ending) not in took]
            done = _discard(transaction, manager, missed, repeated, moved)
        _record(transaction, manager, applied)
        ended = (one for one in applied if one.to != PENDING)
        told = [one.id for one in ended if moved.get((one.id, one.lease))]
        if told:
            call_back(transaction, told)
        return done

    return database.write(work) if ordered else Finished([], [])


def _move(
    transaction: Transaction, statement: Sql, endings: Sequence[Ending]
) -> dict[tuple[str, int], Any]:
    """Run the guarded statement; the orders that it moved, with their leases, and of each whether
    somebody is to be told of its end."""
    values = [(transaction.key(ending.id), *_values(ending)) for ending in endings]
    if transaction.dialect == "sqlite":
        sets = (dict(zip(_PARAMETERS, row, strict=True)) for row in values)
        rows = transaction.many_rows(statement, sets)
    else:
        columns = map(list, zip(*values, strict=True))
        rows = transaction.rows(statement, dict(zip(_PARAMETERS, columns, strict=True)))
    return {(text_id(order_id), lease): calls for order_id, lease, calls in rows}


def _was_ours(transaction: Transaction, key: Any, ending: Ending, found: Row) -> bool:
    """Whether an earlier try of this report took, though the order may have moved on since."""
    lease, status, error = found
    if lease == ending.lease and ending.to != PENDING and error == ending.error:
        return status == ending.to or (status, ending.to) == (RETRIEVED, COMPLETED)
    # The order's row was reused: its history says how this lease ended.
    past = transaction.rows(FIND_ATTEMPT, {"id": key, "lease": ending.lease})
    if past:
        return past[0][0] in (ending.outcome, ending.to)
    return lease == ending.lease and status == ending.to and not ending.keeps_history


def _discard(
    transaction: Transaction,
    manager: str,
    missed: list[Ending],
    repeated: bool,
    moved: Collection[tuple[str, int]],
) -> Finished:
    """Leave an event for each report that came too late; tells apart those that really are, and
    those whose order was not moved although it could be: it is locked."""
    late: list[tuple[Ending, str]] = []
    locked: list[Ending] = []
    for ending in missed:
        key = transaction.key(ending.id)
        found = transaction.rows(FIND_STATUS, {"id": key})
        now = found[0] if found else (0, NOTHING, None)
        if now[:2] == (ending.lease, WIP) and (ending.id, ending.lease) not in moved:
            locked.append(ending)
        elif not (repeated and _was_ours(transaction, key, ending, now)):
            late.append((ending, now[1]))
    if late:
        record = Record()
        record.event(
            "late_result_discarded",
            [ending.id for ending, _ in late],
            manager,
            leases=[ending.lease for ending, _ in late],
            outcomes=[ending.outcome for ending, _ in late],
            now=[status for _, status in late],
        )
        record.write(transaction)
    return Finished([ending for ending, _ in late], locked)


def _record(transaction: Transaction, manager: str, endings: Sequence[Ending]) -> None:
    record = Record()
    kinds: dict[str, list[Ending]] = {}
    for ending in endings:
        record.move(ending.queue, ending.type, WIP, ending.to, ending.run_ms)
        kinds.setdefault(ending.kind or ending.to, []).append(ending)
    for kind, those in kinds.items():
        data: dict[str, Any] = {"workers": [ending.worker for ending in those]}
        if kind != "completed":
            data["attempts"] = [ending.number for ending in those]
            data["outcomes"] = [ending.outcome for ending in those]
            for plural, field in _TOLD_IF_KNOWN:
                known = [getattr(ending, field) for ending in those]
                if any(value is not None for value in known):
                    data[plural] = known
        record.event(kind, [ending.id for ending in those], manager, **data)
    history = [ending for ending in endings if ending.keeps_history]
    if history:
        keep_attempts(transaction, [_attempt(transaction, manager, e) for e in history])
    record.write(transaction)


def _attempt(transaction: Transaction, manager: str, ending: Ending) -> dict[str, Any]:
    return {
        "id": transaction.key(ending.id),
        "lease": ending.lease,
        "number": ending.number,
        "outcome": ending.outcome,
        "manager": manager,
        "worker": ending.worker,
        "age_ms": ending.age_ms,
        "ago_ms": ending.ago_ms,
        "run_ms": ending.run_ms,
        "error": ending.error,
    }

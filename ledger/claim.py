"""Claiming: one statement walks the lanes in their order and takes what the pool can run."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from database import Database, Sql, Transaction
from ledger.ids import text_id
from ledger.orders import Claimed, Lane
from ledger.record import Record
from models import PENDING, WIP

# The first `free` orders may be of any type; behind them the claim goes on only as far as types
# that are known to be short follow each other, so a long order never waits behind a busy worker.
_CHOSEN = """
    chosen AS (
        SELECT id FROM picked
        WHERE place <= :free OR place < (
            SELECT coalesce(min(place), :most + 1) FROM picked
            WHERE place > :free AND NOT {short})
    )"""

# On PostgreSQL the guard on the status is an expression that no index or statistic matches: else
# the planner may prefer to walk the running orders. The lanes stay in their order because a
# LATERAL join (on SQLite a CROSS JOIN) can only be a nested loop over them.
CLAIM = Sql(
    sqlite=f"""
    WITH lane AS MATERIALIZED (
        SELECT value ->> 0 AS queue, value ->> 1 AS priority, {{now}} - (value ->> 2) AS due
        FROM json_each(:lanes)
        WHERE NOT EXISTS (SELECT 1 FROM queue AS q WHERE q.name IN (value ->> 0, '*')
            AND q.paused_on IS NOT NULL)
    ), picked AS MATERIALIZED (
        SELECT o.id, o.type, row_number() OVER () AS place
        FROM lane CROSS JOIN job_order AS o
        WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
            AND o.run_at <= lane.due
        LIMIT :most
    ), {_CHOSEN.replace("{short}", "type IN (SELECT value FROM json_each(:short))")}
    UPDATE job_order SET status = 'wip', lease = lease + 1, attempts = attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE id IN (SELECT id FROM chosen) AND status = 'pending'
    RETURNING id, type, queue, priority, payload, lease, attempts, crashes, max_attempts,
        timeout_ms, max_silence_ms, run_at""",
    postgres=f"""
    WITH lane AS MATERIALIZED (
        SELECT l.* FROM unnest(CAST(:queues AS text[]), CAST(:priorities AS smallint[]),
            CAST(:ages AS bigint[])) WITH ORDINALITY AS l (queue, priority, age, nth)
        WHERE NOT EXISTS (SELECT 1 FROM queue AS q WHERE q.name IN (l.queue, '*')
            AND q.paused_on IS NOT NULL)
    ), picked AS MATERIALIZED (
        SELECT c.id, c.type, row_number() OVER () AS place
        FROM lane, LATERAL (
            SELECT o.id, o.type FROM job_order AS o
            WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
                AND o.run_at <= {{now}} - lane.age
            ORDER BY o.run_at, o.id LIMIT :most FOR UPDATE SKIP LOCKED) AS c
        LIMIT :most
    ), {_CHOSEN.replace("{short}", "type = ANY(CAST(:short AS text[]))")}
    UPDATE job_order AS o SET status = 'wip', lease = o.lease + 1, attempts = o.attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE o.id = ANY(ARRAY(SELECT id FROM chosen)) AND o.status || '' = 'pending'
    RETURNING o.id, o.type, o.queue, o.priority, o.payload, o.lease, o.attempts, o.crashes,
        o.max_attempts, o.timeout_ms, o.max_silence_ms, o.run_at""",
)


def claim(
    database: Database,
    manager: str,
    lanes: Sequence[Lane],
    free: int,
    ahead: int = 0,
    short: Collection[str] = (),
) -> list[Claimed]:
    """Take up to `free` orders of any type, and `ahead` more of the types in `short`.

    Answers them in the order of the lanes, then by due time. Raises `DatabaseAway`.
    """
    most = free + (ahead if short else 0)
    if most <= 0 or not lanes:
        return []
    parameters = {"free": free, "most": most, "manager": manager}
    if database.dialect == "sqlite":
        parameters |= {"lanes": json.dumps(lanes), "short": json.dumps(list(short))}
    else:
        queues, priorities, ages = map(list, zip(*lanes, strict=True))
        parameters |= {"queues": queues, "priorities": priorities, "ages": ages}
        parameters |= {"short": list(short)}

    def work(transaction: Transaction) -> list[Claimed]:
        rows = transaction.rows(CLAIM, parameters)
        if not rows:
            return []
        claimed = [Claimed(text_id(row[0]), *row[1:]) for row in rows]
        record = Record()
        for order in claimed:
            record.move(order.queue, order.type, PENDING, WIP)
        record.event("claimed", [order.id for order in claimed], manager)
        record.write(transaction)
        return claimed

    return _in_order(lanes, database.write(work))


def _in_order(lanes: Sequence[Lane], claimed: list[Claimed]) -> list[Claimed]:
    """The database answers updated rows in any order; workers want them in claim order."""
    place: dict[tuple[str, int], int] = {}
    for nth, lane in enumerate(lanes):
        place.setdefault((lane.queue, lane.priority), nth)
    claimed.sort(key=lambda o: (place.get((o.queue, o.priority), 0), o.run_at, o.id))
    return claimed

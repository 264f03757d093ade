"""Claiming: one statement walks the lanes in their order and takes what the pool can run."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

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

# The guard on the status is an expression that no index or statistic matches: else the planner may
# prefer to walk all pending or running orders. The lanes stay in their order because a
# LATERAL join (on SQLite a CROSS JOIN) can only be a nested loop over them.
CLAIM = Sql(
    sqlite=f"""
    WITH lane AS MATERIALIZED (
        SELECT value ->> 0 AS queue, value ->> 1 AS priority, {{now}} - (value ->> 2) AS due,
            {{now}} - (value ->> 3) AS walked
        FROM json_each(:lanes)
        WHERE NOT EXISTS (SELECT 1 FROM queue AS q WHERE q.name IN (value ->> 0, '*')
            AND q.paused_on IS NOT NULL)
    ), picked AS MATERIALIZED (
        SELECT o.id, o.type, row_number() OVER () AS place
        FROM lane CROSS JOIN job_order AS o
        WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
            AND o.run_at <= lane.due AND o.run_at > lane.walked
        LIMIT :most
    ), {_CHOSEN.replace("{short}", "type IN (SELECT value FROM json_each(:short))")}
    UPDATE job_order SET status = 'wip', lease = lease + 1, attempts = attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE id IN (SELECT id FROM chosen) AND +status = 'pending'
    RETURNING id, type, queue, priority, payload, lease, attempts, crashes, max_attempts,
        timeout_ms, max_silence_ms, run_at, {{now}}""",
    postgres=f"""
    WITH lane AS MATERIALIZED (
        SELECT l.* FROM unnest(CAST(:queues AS text[]), CAST(:priorities AS smallint[]),
            CAST(:ages AS bigint[]), CAST(:walked AS bigint[]))
            WITH ORDINALITY AS l (queue, priority, age, walked, nth)
        WHERE NOT EXISTS (SELECT 1 FROM queue AS q WHERE q.name IN (l.queue, '*')
            AND q.paused_on IS NOT NULL)
    ), picked AS MATERIALIZED (
        SELECT c.id, c.type, row_number() OVER () AS place
        FROM lane, LATERAL (
            SELECT o.id, o.type FROM job_order AS o
            WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
                AND o.run_at <= {{now}} - lane.age AND o.run_at > {{now}} - lane.walked
            ORDER BY o.run_at, o.id LIMIT :most FOR UPDATE SKIP LOCKED) AS c
        LIMIT :most
    ), {_CHOSEN.replace("{short}", "type = ANY(CAST(:short AS text[]))")}
    UPDATE job_order AS o SET status = 'wip', lease = o.lease + 1, attempts = o.attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE o.id = ANY(ARRAY(SELECT id FROM chosen)) AND o.status || '' = 'pending'
    RETURNING o.id, o.type, o.queue, o.priority, o.payload, o.lease, o.attempts, o.crashes,
        o.max_attempts, o.timeout_ms, o.max_silence_ms, o.run_at, {{now}}""",
)

# Longer ago than anything, in ms: the bound of a lane that nothing was walked of before.
EVER_MS = 10**15

HOLDINGS = Sql("""
    SELECT id, type, queue, priority, payload, lease, attempts, crashes, max_attempts, timeout_ms,
        max_silence_ms, run_at
    FROM job_order WHERE status = 'wip' AND manager = :manager ORDER BY id""")


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
    parameters = claim_parameters(database.dialect, manager, lanes, free, most, short)

    def work(transaction: Transaction) -> list[Claimed]:
        rows = transaction.rows(CLAIM, parameters)
        if not rows:
            return []
        claimed = [Claimed(text_id(row[0]), *row[1:-1]) for row in rows]
        _sort(claimed, lanes, rows[0][-1])
        record = Record()
        for order in claimed:
            record.move(order.queue, order.type, PENDING, WIP)
        record.event("claimed", [order.id for order in claimed], manager)
        record.write(transaction)
        return claimed

    return database.write(work)


def _apart(lanes: Sequence[Lane]) -> list[tuple[str, int, int, int]]:
    """The lanes with what earlier ones have walked of them already, as an age: none comes twice."""
    walked: dict[tuple[str, int], int] = {}
    apart = []
    for queue, priority, age in lanes:
        before = walked.get((queue, priority), EVER_MS)
        apart.append((queue, priority, age, before))
        walked[queue, priority] = min(age, before)
    return apart


def claim_parameters(
    dialect: str, manager: str, lanes: Sequence[Lane], free: int, most: int, short: Collection[str]
) -> dict[str, Any]:
    """What `CLAIM` is run with on this database."""
    given: dict[str, Any] = {"free": free, "most": most, "manager": manager}
    if dialect == "sqlite":
        return given | {"lanes": json.dumps(_apart(lanes)), "short": json.dumps(list(short))}
    queues, priorities, ages, walked = map(list, zip(*_apart(lanes), strict=True))
    given |= {"queues": queues, "priorities": priorities, "ages": ages, "walked": walked}
    return given | {"short": list(short)}


def holdings(database: Database, manager: str) -> list[Claimed]:
    """What this manager holds by the record, for one that never heard whether a claim took.

    Raises `DatabaseAway`.
    """
    rows = database.read(HOLDINGS, {"manager": manager})
    return [Claimed(text_id(row[0]), *row[1:]) for row in rows]


def _sort(claimed: list[Claimed], lanes: Sequence[Lane], now: int) -> None:
    """The database answers updated rows in any order; workers want them in claim order."""
    places: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for nth, lane in enumerate(lanes):
        places.setdefault((lane.queue, lane.priority), []).append((nth, now - lane.age_ms))

    def place(order: Claimed) -> tuple[int, int, str]:
        walked = places[order.queue, order.priority]
        nth = next((nth for nth, due in walked if order.run_at <= due), walked[-1][0])
        return nth, order.run_at, order.id

    claimed.sort(key=place)

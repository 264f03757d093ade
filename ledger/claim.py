"""Claiming: one statement walks the lanes in their order and takes what the pool can run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any

from database import Database, DatabaseAway, Row, Sql, Transaction
from ledger.ids import text_id
from ledger.orders import Claimed, Lane
from ledger.record import Record
from models import PENDING, WIP

_log = logging.getLogger("capataz.ledger")

# The lanes to walk, in their order, without those of paused queues: these are looked up once, and
# so is the clock, not once a lane.
_SERVED = """
        WHERE value ->> 0 NOT IN (SELECT name FROM queue WHERE paused_on IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM queue WHERE name = '*' AND paused_on IS NOT NULL)
    )"""
_LANE_SQLITE = f"""lane AS MATERIALIZED (
        SELECT value ->> 0 AS queue, value ->> 1 AS priority, {{now}} - (value ->> 2) AS due,
            {{now}} - (value ->> 3) AS walked
        FROM json_each(:lanes){_SERVED}"""
_LANE_POSTGRES = f"""lane AS MATERIALIZED (
        SELECT value ->> 0 AS queue, CAST(value ->> 1 AS smallint) AS priority,
            (SELECT {{now}}) - CAST(value ->> 2 AS bigint) AS due,
            (SELECT {{now}}) - CAST(value ->> 3 AS bigint) AS walked
        FROM json_array_elements(CAST(:lanes AS json)){_SERVED}"""

# What is due in the lanes, in claim order. They stay in their order because a LATERAL join (on
# SQLite a CROSS JOIN) can only be a nested loop over them.
_WALK_SQLITE = """
        FROM lane CROSS JOIN job_order AS o
        WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
            AND o.run_at <= lane.due AND o.run_at > lane.walked"""
_WALK_POSTGRES = """
            SELECT c.id, c.type FROM lane, LATERAL (
                SELECT o.id, o.type FROM job_order AS o
                WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
                    AND o.run_at <= lane.due AND o.run_at > lane.walked
                ORDER BY o.run_at, o.id LIMIT {most}) AS c"""
_LOCKED = "{most} FOR UPDATE SKIP LOCKED"

_SHORT_SQLITE = "type IN (SELECT value FROM json_each(:short))"
_SHORT_POSTGRES = "type = ANY(CAST(:short AS text[]))"

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
# prefer to walk all pending or running orders. On PostgreSQL a walk without locks first finds how
# far the claim reaches: what it locked and then left would look taken to another manager, which
# would find nothing and go to sleep.
CLAIM = Sql(
    sqlite=f"""
    WITH {_LANE_SQLITE}, picked AS MATERIALIZED (
        SELECT o.id, o.type, row_number() OVER () AS place {_WALK_SQLITE}
        LIMIT :most
    ), {_CHOSEN.format(short=_SHORT_SQLITE)}
    UPDATE job_order SET status = 'wip', lease = lease + 1, attempts = attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE id IN (SELECT id FROM chosen) AND +status = 'pending'
    RETURNING id, type, queue, priority, payload, lease, attempts, crashes, max_attempts,
        timeout_ms, max_silence_ms, run_at, quarantined, created_on, {{now}}""",
    postgres=f"""
    WITH {_LANE_POSTGRES}, reach AS (
        SELECT coalesce(
            min(place) FILTER (WHERE place > :free AND NOT {_SHORT_POSTGRES}) - 1, count(*)) AS most
        FROM (SELECT type, row_number() OVER () AS place FROM (
            {_WALK_POSTGRES.format(most=":most")}
            LIMIT :most) AS walk) AS seen
    ), picked AS MATERIALIZED (
        SELECT id, type, row_number() OVER () AS place FROM (
            {_WALK_POSTGRES.format(most=_LOCKED.format(most=":most"))}
            LIMIT CASE WHEN :most > :free THEN (SELECT most FROM reach) ELSE :free END) AS walk
    ), {_CHOSEN.format(short=_SHORT_POSTGRES)}
    UPDATE job_order AS o SET status = 'wip', lease = o.lease + 1, attempts = o.attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE o.id = ANY(ARRAY(SELECT id FROM chosen)) AND o.status || '' = 'pending'
    RETURNING o.id, o.type, o.queue, o.priority, o.payload, o.lease, o.attempts, o.crashes,
        o.max_attempts, o.timeout_ms, o.max_silence_ms, o.run_at, o.quarantined, o.created_on,
        {{now}}""",
)

# Locked like a claim's, so that an order which somebody holds locked is not counted as waiting.
WAITS = Sql(
    sqlite=f"""
    WITH {_LANE_SQLITE}
    SELECT 1 {_WALK_SQLITE}
    LIMIT 1""",
    postgres=f"""
    WITH {_LANE_POSTGRES}
    SELECT 1 FROM ({_WALK_POSTGRES.format(most=_LOCKED.format(most="1"))} LIMIT 1) AS walk""",
)

# The queues in which orders wait: from each the index leads to the next, however deep they are, and
# to none of those that were used once and are empty now.
WAITING = Sql("""
    WITH RECURSIVE waiting (queue) AS (
        SELECT '' UNION ALL
        SELECT (
            SELECT o.queue FROM job_order AS o
            WHERE o.status = 'pending' AND o.queue > waiting.queue ORDER BY o.queue LIMIT 1)
        FROM waiting WHERE queue IS NOT NULL)
    SELECT queue FROM waiting WHERE queue <> ''""")

# PostgreSQL only, where a claim sees the queues as they were when its statement began: each holds
# this lock, shared, from before that, so a pause can wait for those that did not see it. The number
# keeps it apart from other users of such locks.
_CLAIMING = 7_022_684_131
HOLD = Sql(f"SELECT pg_advisory_xact_lock_shared({_CLAIMING})")
PATIENCE = Sql("SET LOCAL lock_timeout = '500ms'")
WAIT = Sql(f"SELECT pg_advisory_xact_lock({_CLAIMING})")

# Longer ago than anything, in ms: the bound of a lane that nothing was walked of before.
EVER_MS = 10**15

HOLDINGS = Sql("""
    SELECT id, type, queue, priority, payload, lease, attempts, crashes, max_attempts, timeout_ms,
        max_silence_ms, run_at, quarantined
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
        if transaction.dialect == "postgresql":
            transaction.run(HOLD)
        rows = transaction.rows(CLAIM, parameters)
        if not rows:
            return []
        return record_claim(transaction, manager, rows, _places(lanes, rows[0][-1]))

    return database.write(work)


def record_claim(
    transaction: Transaction, manager: str, rows: Sequence[Row], place: Callable[[Claimed], Any]
) -> list[Claimed]:
    """The orders in the rows that a claim answered, by their `place`, with event and tallies."""
    claimed = [Claimed(text_id(row[0]), *row[1:-2]) for row in rows]
    record = Record()
    for order, row in zip(claimed, rows, strict=True):
        waited = row[-1] - max(order.run_at, row[-2])
        record.move(order.queue, order.type, PENDING, WIP, max(0, waited))
    claimed.sort(key=place)
    leases = [order.lease for order in claimed]
    # Nearly always each is the order's first, which need not be said.
    again = {"leases": leases} if any(lease != 1 for lease in leases) else {}
    record.event("claimed", [order.id for order in claimed], manager, **again)
    record.write(transaction)
    return claimed


def waiting_queues(database: Database) -> list[str]:
    """The queues that hold pending orders, due or not. Raises `DatabaseAway`."""
    return [name for (name,) in database.read(WAITING)]


def waits(database: Database, lanes: Sequence[Lane]) -> bool:
    """Whether a claim that walked these lanes would find an order. Raises `DatabaseAway`."""
    return bool(lanes) and bool(database.read(WAITS, waits_parameters(lanes)))


def wait_for_claims(database: Database) -> None:
    """Return when every claim that began before has ended: at once on SQLite.

    A manager that was stopped in the middle of one is not waited for longer than a second, since
    others cannot claim meanwhile.
    """

    def work(transaction: Transaction) -> None:
        transaction.run(PATIENCE)
        transaction.run(WAIT)

    if database.dialect == "postgresql":
        try:
            database.write(work)
        except DatabaseAway as error:
            _log.warning(
                "a claim under way may still take orders of what was paused",
                extra={"reason": str(error)},
            )


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
    types = json.dumps(list(short)) if dialect == "sqlite" else list(short)
    given = {"free": free, "most": most, "manager": manager, "short": types}
    return given | {"lanes": _lanes(lanes)}


def waits_parameters(lanes: Sequence[Lane]) -> dict[str, Any]:
    """What `WAITS` is run with."""
    return {"lanes": _lanes(lanes)}


def _lanes(lanes: Sequence[Lane]) -> str:
    """As JSON on PostgreSQL too: its driver takes longer to write four arrays than the server to
    walk the lanes."""
    return json.dumps(_apart(lanes))


def holdings(database: Database, manager: str) -> list[Claimed]:
    """What this manager holds by the record, for one that never heard whether a claim took.

    Raises `DatabaseAway`.
    """
    rows = database.read(HOLDINGS, {"manager": manager})
    return [Claimed(text_id(row[0]), *row[1:]) for row in rows]


def _places(lanes: Sequence[Lane], now: int) -> Callable[[Claimed], tuple[int, int, str]]:
    """The database answers updated rows in any order; workers want them in claim order."""
    places: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for nth, lane in enumerate(lanes):
        places.setdefault((lane.queue, lane.priority), []).append((nth, now - lane.age_ms))

    def place(order: Claimed) -> tuple[int, int, str]:
        walked = places[order.queue, order.priority]
        nth = next((nth for nth, due in walked if order.run_at <= due), walked[-1][0])
        return nth, order.run_at, order.id

    return place

"""Queues as an operator sees them: what waits and runs in each, and who serves it.

At the same cost for any number of orders: levels come from the tallies, waits from an index, and
what is not due yet is counted to a bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from database import Database, Sql
from ledger.managers import SILENT_BEATS
from ledger.totals import Totals
from ledger.waiting_times import OF_QUEUE, PRIORITY_LIST, SINCE
from models import ALL_QUEUES, PENDING, WIP

# What is not due yet, or what is, is counted so far: the smaller of them tells the other.
MOST_COUNTED = 1_000

_COUNT = f"""(SELECT count(*) FROM (
            SELECT 1 FROM ({PRIORITY_LIST}) AS p CROSS JOIN job_order AS o
            WHERE {OF_QUEUE} AND o.run_at {{}} {{{{now}}}} LIMIT {MOST_COUNTED}) AS bounded)"""

PAGE = Sql(f"""
    SELECT q.name, q.paused_on, q.paused_by, q.scheduled,
        CASE WHEN q.scheduled >= {MOST_COUNTED} THEN {_COUNT.format("<=")} END,
        (SELECT min({SINCE}) FROM ({PRIORITY_LIST}) AS p), {{now}}
    FROM (
        SELECT q.name, q.paused_on, q.paused_by, {_COUNT.format(">")} AS scheduled
        FROM queue AS q WHERE q.name > :after AND q.name <> '{ALL_QUEUES}'
        ORDER BY q.name LIMIT :most) AS q
    ORDER BY q.name""")

EVERY = Sql(f"SELECT paused_on, paused_by FROM queue WHERE name = '{ALL_QUEUES}'")
SERVERS = Sql("""
    SELECT id, queues, transport FROM manager WHERE ended_on IS NULL AND state <> 'draining'
        AND last_beat > {now} - stale_ms AND last_beat > {now} - :beats * heartbeat_ms
    ORDER BY started_on, id""")
# All that is in flight is looked at: no more than the workers have.
REDELIVERED = Sql("""
    SELECT queue, count(*) FROM job_order WHERE status = 'wip' AND attempts > 1 GROUP BY queue""")


class Pause(NamedTuple):
    """Since when (ms) and by whom claims are stopped, if they are; '' is nobody in particular."""

    since: int | None = None
    paused_by: str | None = None


class QueueSight(NamedTuple):
    """A queue; times in ms. `scheduled` are those of `pending` that are not due yet, None when
    they are too many to count; `redelivered` those in flight that were given out before; `waits_ms`
    is how long the oldest waits, 0 when none is due."""

    name: str
    pending: int
    scheduled: int | None
    in_flight: int
    redelivered: int
    waits_ms: int
    pause: Pause
    managers: Sequence[str]


class QueuesSight(NamedTuple):
    """Queues by name, whether all are paused, and by what managers that beat learn of orders."""

    queues: list[QueueSight]
    every: Pause
    transports: Sequence[str] = ()


def watch_queues(database: Database, totals: Totals, limit: int, after: str = "") -> QueuesSight:
    """At most so many queues that come after this one, by name. Raises `DatabaseAway`."""
    with database.session():
        rows = database.read(PAGE, {"after": after, "most": limit})
        levels = totals.moves().by_queue
        every = [Pause._make(row) for row in database.read(EVERY)]
        servers = database.read(SERVERS, {"beats": SILENT_BEATS})
        again = {queue: int(n) for queue, n in database.read(REDELIVERED)}
    crews = [
        (name, frozenset(queues.split(",")) if queues else None) for name, queues, _ in servers
    ]
    found = []
    for name, paused_on, paused_by, later, due, since, now in rows:
        level = levels.get(name, Counter())
        pending = max(0, level[PENDING])
        scheduled = later if later < MOST_COUNTED else _rest(pending, due)
        found.append(
            QueueSight(
                name,
                pending,
                scheduled,
                max(0, level[WIP]),
                again.get(name, 0),
                max(0, now - since) if since is not None else 0,
                Pause(paused_on, paused_by),
                [crew for crew, served in crews if served is None or name in served],
            )
        )
    transports = sorted({transport for _, _, transport in servers})
    return QueuesSight(found, every[0] if every else Pause(), transports)


def _rest(pending: int, due: int) -> int | None:
    """How many of them are not due, if those that are could be counted."""
    return max(0, pending - due) if due < MOST_COUNTED else None

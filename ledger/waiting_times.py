"""How long orders wait: the oldest that are due, queue by queue, found by the index of what waits.

An order waits from when it was made or due, whichever is later. What could not run because its
queue was paused could run from when that was resumed.
"""

from __future__ import annotations

from typing import NamedTuple

from database import Database, Sql
from models import ALL_QUEUES, PRIORITIES

# Where the first of a lane was due before it was made, later ones may have waited longer: so many
# of them are looked at.
BACKDATED = 200

# For statements about each lane of a queue: `p.number`, and what an order `o` of queue `q` meets.
PRIORITY_LIST = " UNION ALL ".join(f"SELECT {n} AS number" for n in sorted(PRIORITIES.values()))
OF_QUEUE = "o.status = 'pending' AND o.queue = q.name AND o.priority = p.number"
# Since when the oldest of a lane waits.
SINCE = f"""
    (SELECT CASE WHEN o.run_at >= o.created_on THEN o.run_at ELSE (
        SELECT min(CASE WHEN run_at > created_on THEN run_at ELSE created_on END)
        FROM (SELECT run_at, created_on FROM job_order
            WHERE status = 'pending' AND queue = q.name AND priority = p.number
            ORDER BY run_at LIMIT {BACKDATED}) AS earliest) END
        FROM job_order AS o
        WHERE o.status = 'pending' AND o.queue = q.name AND o.priority = p.number
        ORDER BY o.run_at LIMIT 1)"""
_EVERY = f"(SELECT {{}} FROM queue AS every WHERE every.name = '{ALL_QUEUES}')"
_LATER = "CASE WHEN {0} > {1} THEN {0} ELSE {1} END"
_RESUMED = _LATER.format("coalesce(q.resumed_on, 0)", "coalesce(a.resumed_on, 0)")

OLDEST = Sql(f"""
    SELECT min(since), min({_LATER.format("since", "resumed")}) FILTER (
            WHERE since IS NOT NULL AND NOT paused), {{now}}
    FROM (
        SELECT (q.paused_on IS NOT NULL OR a.paused_on IS NOT NULL) AS paused,
            {_RESUMED} AS resumed, {SINCE} AS since
        FROM queue AS q LEFT JOIN queue AS a ON a.name = '{ALL_QUEUES}'
            CROSS JOIN ({PRIORITY_LIST}) AS p
    ) AS lane""")

# SQLite walks a CROSS JOIN in the order in which it is written: by the index of what waits.
DUE = Sql(f"""
    SELECT count(*) FROM (
        SELECT 1 FROM queue AS q CROSS JOIN ({PRIORITY_LIST}) AS p CROSS JOIN job_order AS o
        WHERE q.paused_on IS NULL AND {_EVERY.format("every.paused_on")} IS NULL
            AND {OF_QUEUE} AND o.run_at <= {{now}} LIMIT :most) AS bounded""")


class Oldest(NamedTuple):
    """Since when (ms) the oldest order waits that is due or to come, and since when the oldest
    that could run could; as of `now`. None where there is none."""

    due: int | None
    runnable: int | None
    now: int


def oldest(database: Database) -> Oldest:
    """The longest waits. A time to come is when the next order is due. Raises `DatabaseAway`."""
    return Oldest._make(database.read(OLDEST)[0])


def count_due(database: Database, most: int) -> int:
    """How many orders could run now, counted to so many. Raises `DatabaseAway`."""
    return int(database.read(DUE, {"most": most})[0][0])

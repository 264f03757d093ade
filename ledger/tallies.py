"""Reading and folding the tallies: how many orders are where, without counting the table.

A level is the moves into a status less the moves out of it, so cancel, retry by hand, retrieval
and deletion all keep it right; a flow is the moves in.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from database import Database, Row, Sql, Transaction

# Rows are summed a minute for two hours, then an hour for two days, then a day: the whole history
# stays a few thousand rows that one statement adds up in a few milliseconds.
MINUTES_KEPT = 120
HOURS_KEPT = 48
HOUR = 60
DAY = 24 * HOUR

LEVELS = Sql("""
    SELECT status, CAST(sum(n) AS BIGINT) FROM (
        SELECT after AS status, sum(n) AS n FROM tally GROUP BY after
        UNION ALL SELECT before, -sum(n) FROM tally GROUP BY before
    ) AS moves WHERE status <> '' GROUP BY status""")

# A claim counts how long its orders had waited in the same columns.
RUNS = Sql("""
    SELECT CAST(sum(runs) AS BIGINT), CAST(sum(run_ms) AS BIGINT) FROM tally
    WHERE after <> 'wip'""")

# All in one walk; the histograms of a group as the members of one JSON array, added up here.
_TOTALS = """
    SELECT queue, type, before, after, CAST(sum(n) AS BIGINT), CAST(sum(runs) AS BIGINT),
        CAST(sum(run_ms) AS BIGINT), {joined}(histogram, ',')
    FROM tally GROUP BY queue, type, before, after"""
TOTALS = Sql(
    sqlite=_TOTALS.format(joined="group_concat"), postgres=_TOTALS.format(joined="string_agg")
)

FLOW = Sql("""
    SELECT after, CAST(sum(n) AS BIGINT) FROM tally
    WHERE minute >= {now} / 60000 - :minutes AND after IN ('completed', 'failed') GROUP BY after""")

NOW_MINUTE = Sql("SELECT CAST({now} / 60000 AS BIGINT)")

# Only what is not folded yet is touched: a bucket of time in which a combination has several rows,
# or rows that are not at the bucket's beginning.
TAKE = Sql("""
    DELETE FROM tally WHERE minute >= :since AND minute < :before
    AND minute - minute % :grain IN (
        SELECT minute - minute % :grain FROM tally WHERE minute >= :since AND minute < :before
        GROUP BY minute - minute % :grain, queue, type, before, after
        HAVING count(*) > 1 OR max(minute % :grain) > 0)
    RETURNING minute, queue, type, before, after, n, runs, run_ms, histogram""")

PUT = Sql("""
    INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms, histogram)
    VALUES (:minute, :queue, :type, :before, :after, :n, :runs, :run_ms, :histogram)""")


class Levels(NamedTuple):
    """How many orders stand in each status, and the times of all ended runs so far."""

    by_status: dict[str, int]
    runs: int
    run_ms: int


class Total(NamedTuple):
    """How many orders of a queue and type ever made one move; and the times of those counted in
    `runs`: of their runs, or of a claim's waits. Corrections of levels have no type.

    `buckets` are counts by `ledger.record.bucket_of`.
    """

    queue: str
    type: str
    before: str
    after: str
    n: int
    runs: int
    run_ms: int
    buckets: Counter[int]


def totals(database: Database) -> list[Total]:
    """Everything that was ever tallied. Raises `DatabaseAway`."""
    return [
        Total(queue, kind, before, after, int(n), int(runs), int(run_ms), _added(histograms))
        for queue, kind, before, after, n, runs, run_ms, histograms in database.read(TOTALS)
    ]


def _added(histograms: str | None) -> Counter[int]:
    counts: Counter[int] = Counter()
    for histogram in json.loads(f"[{histograms or ''}]"):
        for bucket, n in histogram.items():
            counts[int(bucket)] += n
    return counts


def levels(database: Database) -> Levels:
    """The levels as of now. Raises `DatabaseAway`."""
    by_status = {status: int(n) for status, n in database.read(LEVELS)}
    runs, run_ms = database.read(RUNS)[0]
    return Levels(by_status, int(runs or 0), int(run_ms or 0))


def flow(database: Database, minutes: int) -> dict[str, int]:
    """How many orders completed and failed in the last `minutes`. Raises `DatabaseAway`."""
    return {status: int(n) for status, n in database.read(FLOW, {"minutes": minutes})}


def fold(database: Database) -> int:
    """Add up rows of one minute (later: hour, day) and combination; how many rows that saved.

    Any number of managers may do it: only what a transaction deleted does it write back.
    Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> int:
        minute = int(transaction.rows(NOW_MINUTE)[0][0])
        hours = (minute - MINUTES_KEPT) // HOUR * HOUR
        days = (minute - HOURS_KEPT * HOUR) // DAY * DAY
        saved = 0
        for since, before, grain in ((hours, minute + 1, 1), (days, hours, HOUR), (0, days, DAY)):
            taken = transaction.rows(TAKE, {"since": since, "before": before, "grain": grain})
            folded = _add_up(taken, grain)
            transaction.many(PUT, folded)
            saved += len(taken) - len(folded)
        return saved

    return database.write(work)


def _add_up(rows: Iterable[Row], grain: int) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for minute, queue, kind, before, after, n, runs, run_ms, histogram in rows:
        start = minute - minute % grain
        total = sums.setdefault(
            (start, queue, kind, before, after),
            {"minute": start, "queue": queue, "type": kind, "before": before, "after": after}
            | {"n": 0, "runs": 0, "run_ms": 0, "buckets": {}},
        )
        total["n"] += n
        total["runs"] += runs
        total["run_ms"] += run_ms
        for bucket, count in json.loads(histogram or "{}").items():
            total["buckets"][bucket] = total["buckets"].get(bucket, 0) + count
    for total in sums.values():
        buckets = total.pop("buckets")
        total["histogram"] = json.dumps(buckets) if buckets else None
    return list(sums.values())

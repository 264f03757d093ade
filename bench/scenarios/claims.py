"""One claim of 100 orders, and one that finds nothing, among few and many ended orders and queues.

The claims are the manager's own: the look in which queues orders wait, and the claim over the lanes
of these, which is a transaction with its event and its tally. Between two of them, untimed, what
was claimed is completed and as many new orders are submitted, so the backlog keeps its depth and
the index its turnover. Fifty queues are 150 lanes; ten more queues are paused, with a deep backlog
each. Of a thousand queues all but three were used once and are empty. `ratio` compares medians with
those among no ended orders in the same run. On PostgreSQL the statistics are fresh, as autovacuum
keeps them.
"""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import ledger
from bench.figures import Figure, percentile
from database import Database, Sql
from ledger import Claimed, Ending
from manager.lanes import Lanes
from models import COMPLETED

ENDED = (0, 2_000_000)
QUEUES = (1, 50)
BACKLOGS = (0, 1_000, 100_000)
CLAIMED = 100
CLAIMS = 100
EMPTY_CLAIMS = 300
WARM_UP = 10
PAUSED_QUEUES = 10
PAUSED_BACKLOG = 10_000
BATCH = 5_000
FILL = 500_000
MANAGER = "bench"

_FILL = """
    INSERT INTO job_order (id, type, queue, status, priority, payload, result, attempts, crashes,
        max_attempts, lease, timeout_ms, manager, worker, run_at, created_on, started_on,
        last_updated, completed_on, run_ms, owner)
    SELECT {id}, 'add', 'queue-' || (i % 50),
        CASE WHEN i % 50 = 0 THEN 'failed' WHEN i % 2 = 0 THEN 'retrieved' ELSE 'completed' END,
        1 + i % 3, '{{"num1":1,"num2":2}}', '3', 1, 0, 3, 1, 3600000, 'past', 'past/1', i, i, i, i,
        i, 1, ''"""
FILL_ENDED = Sql(
    sqlite="""
    WITH RECURSIVE n (i) AS (
        SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :first + :count - 1)"""
    + _FILL.format(id="unhex(printf('%012x7000800%013x', i / 8, i))")
    + " FROM n",
    postgres=_FILL.format(
        id="CAST(lpad(to_hex(i / 8), 12, '0') || '7000800' || lpad(to_hex(i), 13, '0') AS uuid)"
    )
    + " FROM generate_series(CAST(:first AS bigint), :first + :count - 1) AS i",
)


CLEAR = Sql("DELETE FROM job_order WHERE status = 'pending'")


class Load(NamedTuple):
    """What waits while the claims are timed."""

    queues: int
    backlog: int
    used: int = 0

    def __str__(self) -> str:
        queues = "1 queue" if self.queues == 1 else f"{self.queues} queues"
        if self.used:
            queues += f" of {self.used:,}"
        return f"{queues}, {self.backlog:,} pending"


LOADS = [Load(queues, backlog) for queues in QUEUES for backlog in BACKLOGS]
LOADS += [Load(3, backlog, used=1_000) for backlog in BACKLOGS]


def measure(url: str) -> list[Figure]:
    """Time every load, first without ended orders and then among them."""
    database = Database(url)
    figures = []
    alone: dict[Load, float] = {}
    for ended in ENDED:
        fill_ended(database, ended)
        for load in LOADS:
            times = _time(database, load)
            median = statistics.median(times)
            name = f"{load}, {ended:,} ended"
            figures.append(Figure(f"{name}, p50", median, "ms", 2))
            figures.append(Figure(f"{name}, p99", percentile(times, 99), "ms", 2))
            if load in alone:
                figures.append(Figure(f"{load}, ratio", median / alone[load], "", 2))
            alone.setdefault(load, median)
    database.close()
    return figures


def _time(database: Database, load: Load) -> list[float]:
    """Milliseconds of each claim under this load."""
    lanes = Lanes()
    _prepare(database, load)
    times = []
    for _ in range(WARM_UP + (CLAIMS if load.backlog else EMPTY_CLAIMS)):
        began = time.perf_counter()
        walk = lanes.next(ledger.waiting_queues(database))
        claimed = ledger.claim(database, MANAGER, walk, CLAIMED)
        times.append((time.perf_counter() - began) * 1000)
        if len(claimed) != min(CLAIMED, load.backlog):
            raise RuntimeError(f"{len(claimed)} orders claimed of {load.backlog}")
        if claimed:
            _replace(database, claimed)
    return times[WARM_UP:]


def _prepare(database: Database, load: Load) -> None:
    """Queue the backlog and nothing else."""
    _run(database, CLEAR)
    names = [f"queue-{number}" for number in range(load.queues)]
    paused = [f"paused-{number}" for number in range(PAUSED_QUEUES if load.queues > 1 else 0)]
    for name in paused:
        ledger.pause(database, name)
    for number in range(load.used):
        ledger.resume(database, f"used-{number}")
    _submit(database, paused, PAUSED_BACKLOG * len(paused))
    _submit(database, names, load.backlog)
    if database.dialect == "postgresql":
        with database.session() as connection:
            connection.execute("VACUUM ANALYZE")


def _submit(database: Database, queues: list[str], count: int) -> None:
    for start in range(0, count, BATCH):
        ids = ledger.new_ids(min(BATCH, count - start))
        orders = [
            ledger.NewOrder(
                new,
                "add",
                '{"num1":1,"num2":2}',
                queue=queues[nth % len(queues)],
                priority=1 + nth // len(queues) % 3,
            )
            for nth, new in enumerate(ids)
        ]
        ledger.submit(database, [ledger.Request(orders)])


def _replace(database: Database, claimed: list[Claimed]) -> None:
    """Complete what was claimed, and submit as much again where it came from."""
    endings = [
        Ending(
            order.id,
            order.lease,
            order.type,
            order.queue,
            order.attempts,
            COMPLETED,
            "succeeded",
            "bench/1",
            "3",
            run_ms=1,
            age_ms=1,
        )
        for order in claimed
    ]
    ledger.finish(database, MANAGER, endings)
    orders = [
        ledger.NewOrder(new, old.type, old.payload, queue=old.queue, priority=old.priority)
        for new, old in zip(ledger.new_ids(len(claimed)), claimed, strict=True)
    ]
    ledger.submit(database, [ledger.Request(orders)])


def fill_ended(database: Database, count: int) -> None:
    """Put so many orders into the table that ended long ago."""
    for first in range(0, count, FILL):
        _run(database, FILL_ENDED, {"first": first, "count": min(FILL, count - first)})


def _run(database: Database, statement: Sql, parameters: dict[str, int] | None = None) -> None:
    database.write(lambda transaction: transaction.run(statement, parameters))

"""Claims of 100 orders while a million ended orders are deleted beside them, and without that.

The deletion is the janitor of a manager in a process of its own, at its own pace, and has every
tenth order's history and an event for ten orders to delete besides. The claims are timed one after
the other, for some seconds alone, for some beside it, and so on in turn; between two of them,
untimed, what was claimed is completed and as much is submitted again. `a million in` is what the
orders deleted meanwhile say.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import ledger
from bench.figures import Figure, percentile
from bench.processes import ROOT
from bench.scenarios.claims import FILL_ENDED
from database import Database, Sql
from ledger import Claimed, Ending, Lane
from manager.janitor import TICK_SECONDS, Janitor
from models import COMPLETED, PRIORITIES

ENDED = 1_000_000
FILL = 200_000
BACKLOG = 1_000
CLAIMED = 100
TURNS = 6
TURN_SECONDS = 5.0
WARM_UP = 20
RETENTION_HOURS = 168.0
MANAGER = "bench"
LANES = [Lane("default", priority) for priority in PRIORITIES.values()]

ATTEMPTS = Sql("""
    INSERT INTO attempt (order_id, lease, number, outcome, ended_on)
    SELECT id, 1, 1, 'error', 1 FROM job_order WHERE run_at % 10 = 0""")
_EVENTS = "INSERT INTO event (at, kind, n, orders) SELECT i, 'completed', 10, {} FROM {}"
EVENTS = Sql(
    sqlite="WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
    + _EVENTS.format("zeroblob(160)", "n"),
    postgres=_EVENTS.format(
        "decode(repeat('00', 160), 'hex')", "generate_series(1, CAST(:count AS bigint)) AS i"
    ),
)
LEVEL = Sql("""
    INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms)
    SELECT 0, queue, type, '', status, count(*), 0, 0 FROM job_order GROUP BY queue, type, status
    """)
LEFT = Sql("SELECT count(*) FROM job_order WHERE run_at < :count")


def measure(url: str) -> list[Figure]:
    """Time the claims alone and beside the deletion."""
    database = Database(url)
    _fill(database)
    _time(database, 0)
    with tempfile.TemporaryDirectory(prefix="capataz-bench-") as folder:
        flag = Path(folder) / "delete"
        command = [sys.executable, "-m", "bench.scenarios.retention", url, str(flag)]
        deleting = subprocess.Popen(command, cwd=ROOT)
        try:
            alone, beside, deleted, seconds = _in_turns(database, flag)
        finally:
            deleting.terminate()
            deleting.wait(60)
    rate = deleted / seconds
    database.close()
    figures = []
    for name, times in (("alone", alone), ("beside the deletion", beside)):
        figures.append(Figure(f"claim, p50, {name}", statistics.median(times), "ms", 2))
        figures.append(Figure(f"claim, p95, {name}", percentile(times, 95), "ms", 2))
    p50, p95, beside_p50, beside_p95 = (figure.value for figure in figures)
    return [
        *figures,
        Figure("p50, ratio", beside_p50 / p50, "", 2),
        Figure("p95, ratio", beside_p95 / p95, "", 2),
        Figure("deleted", rate, "orders/s"),
        Figure("a million in", ENDED / rate / 60, "minutes", 1),
    ]


def _in_turns(database: Database, flag: Path) -> tuple[list[float], list[float], int, float]:
    """The times of claims alone and beside, how many orders were deleted, and in how long."""
    alone: list[float] = []
    beside: list[float] = []
    before = deleted = 0
    seconds = 0.0
    for _ in range(TURNS):
        alone += _time(database, TURN_SECONDS)
        flag.touch()
        before = _left(database)
        _wait_until_less(database, before)
        before, began = _left(database), time.monotonic()
        beside += _time(database, TURN_SECONDS)
        deleted += before - _left(database)
        seconds += time.monotonic() - began
        flag.unlink()
        time.sleep(2 * TICK_SECONDS)
    return alone, beside, deleted, seconds


def _fill(database: Database) -> None:
    for first in range(0, ENDED, FILL):
        _run(database, FILL_ENDED, {"first": first, "count": FILL})
    _run(database, ATTEMPTS, {})
    _run(database, EVENTS, {"count": ENDED // 10})
    _run(database, LEVEL, {})
    _submit(database, BACKLOG)
    if database.dialect == "postgresql":
        with database.session() as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


def _run(database: Database, statement: Sql, parameters: Mapping[str, int]) -> None:
    database.write(lambda transaction: transaction.run(statement, parameters))


def _time(database: Database, seconds: float) -> list[float]:
    """Milliseconds of each claim in this time."""
    times: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(times) < 2 * WARM_UP:
        began = time.perf_counter()
        claimed = ledger.claim(database, MANAGER, LANES, CLAIMED)
        times.append((time.perf_counter() - began) * 1000)
        if len(claimed) != CLAIMED:
            raise RuntimeError(f"{len(claimed)} orders claimed")
        _replace(database, claimed)
    return times


def _replace(database: Database, claimed: list[Claimed]) -> None:
    endings = [
        Ending(o.id, o.lease, o.type, o.queue, o.attempts, COMPLETED, "succeeded", "bench/1", "3")
        for o in claimed
    ]
    ledger.finish(database, MANAGER, endings)
    _submit(database, len(claimed))


def _submit(database: Database, count: int) -> None:
    orders = [ledger.NewOrder(i, "add", '{"num1":1,"num2":2}') for i in ledger.new_ids(count)]
    ledger.submit(database, [ledger.Request(orders)])


def _delete(url: str, flag: Path) -> None:
    """What a manager's scheduler does: a tick a second, as long as the file is there."""
    janitor = Janitor(Database(url), "janitor", RETENTION_HOURS)
    while True:
        began = time.monotonic()
        if flag.exists():
            janitor.tick()
        time.sleep(max(0.0, min(began + 1.0 - time.monotonic(), 1.0)))


def _wait_until_less(database: Database, count: int) -> None:
    until = time.monotonic() + 30
    while _left(database) >= count:
        if time.monotonic() > until:
            raise TimeoutError("nothing was deleted within 30 s")
        time.sleep(0.1)


def _left(database: Database) -> int:
    return int(database.read(LEFT, {"count": ENDED})[0][0])


if __name__ == "__main__":
    _delete(sys.argv[1], Path(sys.argv[2]))

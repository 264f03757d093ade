"""What is looked at over HTTP, among one million orders: p50 and p95 of each request, one by one.

A tenth of the orders have an event each, ten thousand wait in fifty queues, and the last two hours
have tallies of twenty types. Searches and filters that no index knows look at a bounded stretch.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from urllib.parse import quote

import ledger
from bench.figures import Figure, percentile
from bench.processes import await_ready, free_port, running
from bench.scenarios.claims import FILL_ENDED
from bench.scenarios.retention import EVENTS, LEVEL
from database import Database, Sql
from ledger import NewOrder, Request

ENDED = 1_000_000
FILL = 200_000
WAITING = 10_000
EVENTS_COUNT = 100_000
TIMES = 100
WARM_UP = 10
LIMIT_MS = 50.0

# Came, were completed and were deleted again: so the figures of the table stay right.
_FLOWS = """
    INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms, histogram)
    SELECT {now} / 60000 - i / 60, 'default', 'type-' || (i % 20),
        CASE i / 20 % 3 WHEN 0 THEN '' WHEN 1 THEN 'wip' ELSE 'completed' END,
        CASE i / 20 % 3 WHEN 0 THEN 'wip' WHEN 1 THEN 'completed' ELSE '' END,
        100, 100, 5000, '{"5":90,"9":10}' FROM """
FLOWS = Sql(
    sqlite="WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 7199)"
    + _FLOWS
    + "n",
    postgres=_FLOWS + "generate_series(0, 7199) AS i",
)


def measure(url: str) -> list[Figure]:
    """Fill the tables, then ask for each in turn."""
    database = Database(url)
    _fill(database)
    port = free_port()
    figures: list[Figure] = []
    with running(url, ("runserver", str(port)), WEB_CONCURRENCY="2"):
        await_ready(port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path in _paths(connection):
            times = [_one(connection, path)[0] for _ in range(WARM_UP + TIMES)][WARM_UP:]
            shown = path.partition("&cursor=")[0] + (" in the middle" if "cursor=" in path else "")
            figures.append(Figure(f"{shown}, p50", statistics.median(times), "ms", 1))
            figures.append(Figure(f"{shown}, p95", percentile(times, 95), "ms", 1))
        connection.close()
    database.close()
    worst = max(figure.value for figure in figures if figure.name.endswith("p95"))
    return [*figures, Figure(f"the slowest p95, to be under {LIMIT_MS:g}", worst, "ms", 1)]


def _paths(connection: http.client.HTTPConnection) -> list[str]:
    page = "/api/v1/jobs?limit=500&status=retrieved"
    for _ in range(20):
        _, document = _one(connection, page)
        cursor = quote(document["nextCursor"])
        page = f"/api/v1/jobs?limit=500&status=retrieved&cursor={cursor}"
    return [
        "/api/v1/metrics",
        "/metrics",
        "/api/v1/series?minutes=60",
        "/api/v1/queues",
        "/api/v1/workers",
        "/api/v1/jobs",
        "/api/v1/jobs?status=failed",
        "/api/v1/jobs?status=pending&queue=queue-7",
        "/api/v1/jobs?type=no-such-type",
        "/api/v1/jobs?owner=nobody",
        "/api/v1/jobs?q=no-such-text",
        page,
        "/api/v1/jobs/count",
        "/api/v1/events",
    ]


def _one(connection: http.client.HTTPConnection, path: str) -> tuple[float, dict[str, str]]:
    """Milliseconds until all of the answer is there, and the answer if it is JSON."""
    began = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != http.client.OK:
        raise RuntimeError(f"{path} answered {answer.status}: {body[:300]!r}")
    return took, json.loads(body) if body.startswith(b"{") else {}


def _fill(database: Database) -> None:
    for first in range(1, ENDED + 1, FILL):
        _run(database, FILL_ENDED, {"first": first, "count": FILL})
    _run(database, EVENTS, {"count": EVENTS_COUNT})
    _run(database, LEVEL, {})
    _run(database, FLOWS, {})
    for _ in range(10):
        orders = [
            NewOrder(one, "add", '{"num1":1,"num2":2}', queue=f"queue-{place % 50}")
            for place, one in enumerate(ledger.new_ids(WAITING // 10))
        ]
        ledger.submit(database, [Request(orders)])
    if database.dialect == "postgresql":  # as autovacuum does
        with database.session() as connection:
            connection.execute("ANALYZE")


def _run(database: Database, statement: Sql, parameters: dict[str, int]) -> None:
    database.write(lambda transaction: transaction.run(statement, parameters))

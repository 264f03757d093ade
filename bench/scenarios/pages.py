"""The dashboard among a million orders: what it asks, and how long a browser takes to show it.

Each request is what a page sends, made again and again on one connection, without the header that
lets answers be shared. A showing is a browser that knows nothing yet: from the address to figures
and orders on the screen.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser

from bench.figures import Figure, percentile
from bench.processes import await_ready, free_port, running
from bench.scenarios.claims import fill_ended
from database import Database
from ledger import NewOrder, Request, new_ids, submit
from tests.browser.chrome import VIEWPORT, launched

ORDERS = 1_000_000
PENDING = 5_000
TIMES = 60
SHOWINGS = 10

ASKED = {
    "the newest orders": "/api/v1/jobs?limit=10",
    "a page of orders": "/api/v1/jobs?limit=50",
    "those that failed": "/api/v1/jobs?status=failed&limit=50",
    "those that wait": "/api/v1/jobs?status=pending&limit=50",
    "of one type and status": "/api/v1/jobs?type=add&status=completed&limit=50",
    "of one queue": "/api/v1/jobs?queue=queue-7&limit=50",
    "a search that finds nothing": "/api/v1/jobs?q=zebra&limit=50",
    "a count": "/api/v1/jobs/count?status=failed",
    "figures": "/api/v1/metrics",
    "series of an hour": "/api/v1/series?minutes=60",
    "queues": "/api/v1/queues",
    "events": "/api/v1/events?limit=100",
}
# Told when the page has its figures and rows of orders, in milliseconds since it was asked for.
_WATCH = """
new MutationObserver((_, watching) => {
  if (!document.querySelector("[data-testid=cards]")) return;
  if (!document.querySelector("[data-testid=newest] tbody tr")) return;
  watching.disconnect();
  requestAnimationFrame(() => console.log(`shown ${performance.now()}`));
}).observe(document, { childList: true, subtree: true });
"""


def measure(url: str) -> list[Figure]:
    """Fill the table, then ask and look."""
    database = Database(url)
    _fill(database)
    database.close()
    port = free_port()
    with running(url, ("runserver", str(port))):
        await_ready(port)
        figures = []
        for name, path in (ASKED | {"a page far back": _far_back(port)}).items():
            times = [took for _, took in _asked(port, path)]
            figures.append(Figure(f"{name}, p95", percentile(times, 95), "ms", 1))
        with launched() as browser:
            shown = [_show(browser, port) for _ in range(SHOWINGS)]
        figures.append(Figure("figures and orders on the screen, p50", percentile(shown, 50), "ms"))
        figures.append(Figure("figures and orders on the screen, p95", percentile(shown, 95), "ms"))
        return figures


def _fill(database: Database) -> None:
    fill_ended(database, ORDERS)
    orders = [NewOrder(new, "add", '{"num1":1,"num2":2}') for new in new_ids(PENDING)]
    submit(database, [Request(orders)])
    with database.session() as connection:
        connection.execute("ANALYZE" if database.dialect == "sqlite" else "VACUUM ANALYZE")


def _far_back(port: int) -> str:
    """A page behind so many others that counting them off would take long."""
    path = "/api/v1/jobs?limit=500"
    cursor = ""
    for _ in range(20):
        with _connection(port) as connection:
            connection.request("GET", path + cursor)
            cursor = f"&cursor={json.load(connection.getresponse())['nextCursor']}"
    return path.replace("500", "50") + cursor


def _asked(port: int, path: str) -> Iterator[tuple[bytes, float]]:
    """The answers to a request, and the milliseconds that each took."""
    with _connection(port) as connection:
        for _ in range(TIMES):
            began = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            took = (time.perf_counter() - began) * 1000
            if response.status != http.client.OK:
                raise RuntimeError(f"{path}: {response.status} {body[:500]!r}")
            yield body, took


def _show(browser: Browser, port: int) -> float:
    """Milliseconds until the page of a new profile shows what it is for."""
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    page.add_init_script(_WATCH)
    with page.expect_console_message(lambda one: one.text.startswith("shown ")) as told:
        page.goto(f"http://127.0.0.1:{port}/")
    shown = float(told.value.text.split()[1])
    context.close()
    return shown


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()

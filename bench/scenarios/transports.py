"""How orders reach managers: by the database alone, by RabbitMQ and by NATS, side by side.

For each: 5,000 queued `add` orders drained by one manager of 8 workers and by three, counted from
the tenth part on; then, with nothing else to do, orders one at a time, from the end of the commit
to the first line of the job. The brokers are real servers, of the tests.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import ledger
from bench.figures import Figure, percentile
from bench.processes import running
from bench.stamps import Stamps, stamps
from database import Database
from ledger.hints import Bell
from tests.transports.brokers import NAMES
from tests.transports.brokers import running as running_broker

ORDERS = 5_000
BATCH = 1_000
PICKUPS = 200
WARM_UP = 20
PAUSE_SECONDS = 0.02
LOOK_SECONDS = 0.01
LONGEST_SECONDS = 120.0


def measure(url: str) -> list[Figure]:
    """Drain and pick up by each transport on this database."""
    database = Database(url)
    figures: list[Figure] = []
    with ExitStack() as stack:
        for name in ("database", *NAMES):
            settings = {"CAPATAZ_JOBS": "bench.jobs"}
            if name in NAMES:
                broker = stack.enter_context(running_broker(name))
                settings |= {"CAPATAZ_TRANSPORT": name, f"{name.upper()}_URL": broker.url}
            # What a broker has left of an earlier run has another name.
            queue = f"bench-{secrets.token_hex(4)}"
            figures += [_drain(database, name, settings, queue, count) for count in (1, 3)]
            figures += _pickup(database, name, settings, queue)
    database.close()
    return figures


def _drain(
    database: Database, name: str, settings: dict[str, str], queue: str, managers: int
) -> Figure:
    before = _completed(database)
    for _ in range(0, ORDERS, BATCH):
        ids = ledger.new_ids(BATCH)
        orders = [ledger.NewOrder(one, "add", '{"num1":1,"num2":2}', queue=queue) for one in ids]
        ledger.submit(database, [ledger.Request(orders)])
    with running(database.url, *[("manager",)] * managers, **settings):
        first = _await(lambda: _completed(database) - before, ORDERS // 10)
        last = _await(lambda: _completed(database) - before, ORDERS)
    rate = (last[1] - first[1]) / (last[0] - first[0])
    who = "one manager" if managers == 1 else f"{managers} managers"
    return Figure(f"{name}: drain, {who}", rate, "/s")


def _await(count: Callable[[], int], wanted: int) -> tuple[float, int]:
    """When there were so many, and how many there were then. Raises `TimeoutError`."""
    until = time.monotonic() + LONGEST_SECONDS
    while (there := count()) < wanted:
        if time.monotonic() > until:
            raise TimeoutError(f"only {there} of {wanted} after {LONGEST_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
    return time.monotonic(), there


def _completed(database: Database) -> int:
    return ledger.levels(database).by_status.get("completed", 0)


def _pickup(
    database: Database, name: str, settings: dict[str, str], queue: str
) -> Sequence[Figure]:
    bell = Bell(database)
    with stamps() as began, running(database.url, ("manager",), **settings):
        times = [_start(database, bell, began, queue, n) for n in range(WARM_UP + PICKUPS)]
    bell.close()
    times = times[WARM_UP:]
    return [
        Figure(f"{name}: commit to first line, p50", statistics.median(times), "ms", 2),
        Figure(f"{name}: commit to first line, p99", percentile(times, 99), "ms", 2),
    ]


def _start(database: Database, bell: Bell, stamps: Stamps, queue: str, number: int) -> float:
    """Milliseconds from the commit of a submit to the first line of its job."""
    payload = stamps.payload_text(number)
    order = ledger.NewOrder(ledger.new_id(), "stamp", payload, queue=queue)
    ledger.submit(database, [ledger.Request([order])])
    committed = time.monotonic_ns()
    bell.ring()
    began = stamps.wait(number)
    time.sleep(PAUSE_SECONDS)
    return (began - committed) / 1e6

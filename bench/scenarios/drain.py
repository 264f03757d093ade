"""20,000 queued `add` orders, drained by one manager and by two, results stored.

Each manager is a process of its own, started when all orders are queued. `drain` counts from the
start of the processes until the last order has ended; `steady` is the slope after the first tenth
of the orders, so it leaves the start of the processes out; so does the CPU an order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import psutil

import ledger
from bench.figures import Figure
from bench.processes import running
from database import Database, Sql, Transaction

ORDERS = 20_000
BATCH = 1_000
LOOK_SECONDS = 0.01
LONGEST_SECONDS = 300.0

EMPTY = [Sql(f"DELETE FROM {table}") for table in ("job_order", "event", "tally", "manager")]


class Look(NamedTuple):
    """Seconds since the start, orders completed by then, and CPU seconds of all managers."""

    at: float
    completed: int
    cpu: float


def measure(url: str) -> list[Figure]:
    """Drain twice on this database."""
    figures = []
    for managers in (1, 2):
        database = Database(url)
        _queue_orders(database)
        figures += _drain(database, managers)
        database.write(_empty)
        database.close()
    return figures


def _empty(transaction: Transaction) -> None:
    for statement in EMPTY:
        transaction.run(statement)


def _queue_orders(database: Database) -> None:
    for _ in range(0, ORDERS, BATCH):
        orders = [
            ledger.NewOrder(order_id, "add", '{"num1":1,"num2":2}')
            for order_id in ledger.new_ids(BATCH)
        ]
        ledger.submit(database, [ledger.Request(orders)])
    if database.dialect == "postgresql":
        with database.session() as connection:
            connection.execute("VACUUM ANALYZE")


def _drain(database: Database, managers: int) -> list[Figure]:
    began = time.monotonic()
    with running(database.url, *[("manager",)] * managers) as pids:
        processes = [psutil.Process(pid) for pid in pids]
        seen = _watch(database, began, processes)
        memory = max(process.memory_info().rss for process in processes) / 2**20
    last = seen[-1]
    tenth = next(look for look in seen if look.completed >= ORDERS / 10)
    rest = ORDERS - tenth.completed
    who = "one manager" if managers == 1 else f"{managers} managers"
    return [
        Figure(f"drain, {who}", ORDERS / last.at, "/s"),
        Figure(f"steady, {who}", rest / max(last.at - tenth.at, LOOK_SECONDS), "/s"),
        Figure(f"manager's CPU an order, {who}", (last.cpu - tenth.cpu) / rest * 1e6, "µs", 1),
        Figure(f"manager's RSS, {who}", memory, "MB"),
    ]


def _watch(database: Database, began: float, processes: Sequence[psutil.Process]) -> list[Look]:
    """Looks from the start until all have ended."""
    seen: list[Look] = []
    while not seen or seen[-1].completed < ORDERS:
        completed = ledger.levels(database).by_status.get("completed", 0)
        cpu = sum(sum(process.cpu_times()[:2]) for process in processes)
        seen.append(Look(time.monotonic() - began, completed, cpu))
        if seen[-1].at > LONGEST_SECONDS:
            raise TimeoutError(f"only {completed} of {ORDERS} orders after {LONGEST_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
    return seen

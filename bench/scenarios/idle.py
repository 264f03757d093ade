"""A manager with nothing to do: its CPU, and how soon after a commit a job begins.

The CPU is that of the manager's process over 20 s, its part of the database not included; on
PostgreSQL that of its sessions comes beside it. Then orders are submitted one at a time by this
process, which rings as the API does; the time counts from the end of the commit. All that once
with one queue and once with fifty.
"""

from __future__ import annotations

import statistics
import time

import psutil

import ledger
from bench.figures import Figure, percentile
from bench.processes import running
from bench.stamps import Stamps, stamps
from database import Database, Sql
from ledger.hints import Bell

QUEUES = (1, 50)
SETTLE_SECONDS = 3.0
IDLE_SECONDS = 20.0
ORDERS = 200
WARM_UP = 20
PAUSE_SECONDS = 0.02
LONGEST_SECONDS = 30.0

SESSIONS = Sql("""
    SELECT pid FROM pg_stat_activity WHERE application_name = 'capataz'
    AND datname = current_database() AND pid <> pg_backend_pid()""")


def measure(url: str) -> list[Figure]:
    """Watch one manager for each number of queues."""
    figures = []
    for queues in QUEUES:
        figures += _watch(url, queues)
    return figures


def _watch(url: str, queues: int) -> list[Figure]:
    database = Database(url)
    names = ["default", *(f"queue-{number}" for number in range(queues - 1))]
    for name in names:
        ledger.resume(database, name)
    bell = Bell(database)
    with stamps() as began, running(url, ("manager",), CAPATAZ_JOBS="bench.jobs") as (pid,):
        _await_manager(database)
        time.sleep(SETTLE_SECONDS)
        figures = _cpu(database, pid)
        times = [
            _start(database, bell, began, names[number % len(names)], number)
            for number in range(WARM_UP + ORDERS)
        ][WARM_UP:]
    bell.close()
    database.close()
    figures += [
        Figure("commit to first line, p50", statistics.median(times), "ms", 2),
        Figure("commit to first line, p99", percentile(times, 99), "ms", 2),
    ]
    who = "1 queue" if queues == 1 else f"{queues} queues"
    return [figure._replace(name=f"{who}, {figure.name}") for figure in figures]


def _cpu(database: Database, pid: int) -> list[Figure]:
    """How much of a core an idle manager takes."""
    manager = psutil.Process(pid)
    sessions = []
    if database.dialect == "postgresql":
        sessions = [psutil.Process(row[0]) for row in database.read(SESSIONS)]
    before = _seconds([manager]), _seconds(sessions)
    began = time.monotonic()
    time.sleep(IDLE_SECONDS)
    elapsed = time.monotonic() - began
    after = _seconds([manager]), _seconds(sessions)
    shares = [(late - early) / elapsed * 100 for early, late in zip(before, after, strict=True)]
    figures = [Figure("manager's CPU", shares[0], "%", 2)]
    if sessions:
        figures.append(Figure("its sessions' CPU", shares[1], "%", 2))
    return figures


def _seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


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


def _await_manager(database: Database) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    while not any(row.ended_on is None for row in ledger.managers(database)):
        if time.monotonic() > until:
            raise TimeoutError(f"no manager after {LONGEST_SECONDS:g} s")
        time.sleep(0.05)

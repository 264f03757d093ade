"""Idle: from the HTTP answer to a submit until the first line of the job, one order at a time.

One web process pair and one manager with nothing else to do. The job writes down the machine's
monotonic clock. A negative time means that the job began before its submitter had read the 202.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Figure
from bench.processes import await_ready, free_port, running

ORDERS = 300
WARM_UP = 30
PAUSE_SECONDS = 0.01
LONGEST_SECONDS = 10.0


def measure(url: str) -> list[Figure]:
    """Submit one order after the other and read when each began."""
    port = free_port()
    web, manager = ("runserver", str(port)), ("manager",)
    with (
        tempfile.TemporaryDirectory(prefix="capataz-bench-") as folder,
        running(url, web, manager, CAPATAZ_JOBS="bench.jobs"),
    ):
        await_ready(port)
        path = Path(folder) / "stamps"
        path.touch()
        times = [_one(port, path, number) for number in range(WARM_UP + ORDERS)][WARM_UP:]
    asked, answered = zip(*times, strict=True)
    return [
        Figure("answer to first line, p50", statistics.median(answered), "ms", 2),
        Figure("answer to first line, p99", _percentile(answered, 99), "ms", 2),
        Figure("request to first line, p50", statistics.median(asked), "ms", 2),
        Figure("request to first line, p99", _percentile(asked, 99), "ms", 2),
    ]


def _one(port: int, path: Path, number: int) -> tuple[float, float]:
    """Milliseconds from sending the request, and from its answer, to the job's first line."""
    body = json.dumps({"type": "stamp", "payload": {"path": str(path), "number": number}})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asked = time.monotonic_ns()
    connection.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    answered = time.monotonic_ns()
    connection.close()
    if response.status != http.client.ACCEPTED:
        raise RuntimeError(f"submit answered {response.status}")
    began = _await_stamp(path, number)
    time.sleep(PAUSE_SECONDS)
    return (began - asked) / 1e6, (began - answered) / 1e6


def _await_stamp(path: Path, number: int) -> int:
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        lines = path.read_text().splitlines()
        if lines and (last := lines[-1].split())[0] == str(number):
            return int(last[1])
        time.sleep(0.0005)
    raise TimeoutError(f"order {number} did not begin within {LONGEST_SECONDS:g} s")


def _percentile(values: tuple[float, ...], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

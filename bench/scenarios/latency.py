"""Idle: from the HTTP answer to a submit until the first line of the job, one order at a time.

One web process pair and one manager with nothing else to do. The job writes down the machine's
monotonic clock. A negative time means that the job began before its submitter had read the 202.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time

from bench.figures import Figure, percentile
from bench.processes import await_ready, free_port, running
from bench.stamps import Stamps, stamps

ORDERS = 300
WARM_UP = 30
PAUSE_SECONDS = 0.01


def measure(url: str) -> list[Figure]:
    """Submit one order after the other and read when each began."""
    port = free_port()
    web, manager = ("runserver", str(port)), ("manager",)
    with stamps() as began, running(url, web, manager, CAPATAZ_JOBS="bench.jobs"):
        await_ready(port)
        times = [_one(port, began, number) for number in range(WARM_UP + ORDERS)][WARM_UP:]
    asked, answered = zip(*times, strict=True)
    return [
        Figure("answer to first line, p50", statistics.median(answered), "ms", 2),
        Figure("answer to first line, p99", percentile(answered, 99), "ms", 2),
        Figure("request to first line, p50", statistics.median(asked), "ms", 2),
        Figure("request to first line, p99", percentile(asked, 99), "ms", 2),
    ]


def _one(port: int, stamps: Stamps, number: int) -> tuple[float, float]:
    """Milliseconds from sending the request, and from its answer, to the job's first line."""
    body = json.dumps({"type": "stamp", "payload": stamps.payload(number)})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    asked = time.monotonic_ns()
    connection.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    answered = time.monotonic_ns()
    connection.close()
    if response.status != http.client.ACCEPTED:
        raise RuntimeError(f"submit answered {response.status}")
    began = stamps.wait(number)
    time.sleep(PAUSE_SECONDS)
    return (began - asked) / 1e6, (began - answered) / 1e6

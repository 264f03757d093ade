"""Jobs that end badly in processes of their own, as their orders tell it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

import ledger
from ledger import NewOrder, Request
from models import FAILED
from tests.crash.harness import Site
from tests.support import wait_until

WORDS = "the last words"
TIMEOUT_MS = 500
# What each of them does, and the type of its error, its signal, its exit code.
ENDS: dict[str, tuple[str, dict[str, Any], str, str | None, int | None]] = {
    "while True": ("spin", {}, "TimedOut", "SIGKILL", None),
    "a sleep in C, deaf to SIGTERM": ("deaf", {}, "TimedOut", "SIGKILL", None),
    "a daemon": ("daemon", {"then": "wait"}, "TimedOut", "SIGKILL", None),
    "os._exit": ("crash", {"how": "exit"}, "Crashed", None, 3),
    "a segmentation fault": ("crash", {"how": "segfault"}, "Crashed", "SIGSEGV", None),
    "a fork bomb": ("bomb", {}, "TooManyProcesses", "SIGKILL", None),
    "too much memory": ("hog", {"mib": 200}, "MemoryExceeded", "SIGKILL", None),
}
MARKED = {"spin", "deaf", "daemon", "bomb"}


def order_of(kind: str, payload: dict[str, Any], folder: Path) -> NewOrder:
    given = {"text": WORDS} | payload
    if kind in MARKED:
        given["began"] = str(folder / ledger.new_id())
    if kind == "daemon":
        given["pids"] = str(folder / ledger.new_id())
    timeout = TIMEOUT_MS if kind in MARKED - {"bomb"} else 60_000
    return NewOrder(
        ledger.new_id(),
        f"wild.{kind}",
        json.dumps(given),
        max_attempts=1,
        timeout_ms=timeout,
    )


def test_each_bad_end_is_recorded_with_all_that_is_known_of_it(site: Site, tmp_path: Path) -> None:
    (manager,) = site.managers(1, jobs="tests.manager.wild", max_workers=3)
    orders = {name: order_of(end[0], end[1], tmp_path) for name, end in ENDS.items()}
    ledger.submit(site.database, [Request(list(orders.values()))])
    site.ends(*(order.id for order in orders.values()), timeout=60)
    for name, (_, _, kind, signal, code) in ENDS.items():
        row = site.order(orders[name].id)
        error = json.loads(row.error or "{}")
        assert (name, row.status, error["type"]) == (name, FAILED, kind)
        assert (name, error.get("signal"), error.get("exitCode")) == (name, signal, code)
        assert error["message"], name
        assert error["maxRssMb"] > 10, name
        assert error["cpuSeconds"] >= 0, name
        assert error["output"] == WORDS, name
        assert ("traceback" in error) == (kind == "TimedOut" or signal == "SIGSEGV"), name
    below = psutil.Process(manager.pid).children
    wait_until(lambda: not below(recursive=True), "nothing is left of any")
    assert manager.is_alive()

"""A repository as an order: by a real manager, with its logs, its deadline and its cancel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

import ledger
import models
from ledger import NewOrder, Request, journal
from ledger.hints import CANCEL, Bell
from models import CANCELLED, COMPLETED, FAILED
from tests.crash.harness import ENVIRONMENT, Process, Site
from tests.sandbox.conftest import CANARY
from tests.sandbox.forge import OWNER, Forge
from tests.support import wait_until

Submit = Callable[..., str]

LIVE = """
import os, sys, time
print("began", os.environ, flush=True)
time.sleep(float(sys.argv[1]))
"""
FORKS = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    opened = Site(database_url, tmp_path)
    models.bind(opened.database.orm)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def manager(site: Site, forge: Forge, base: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    """One that has a secret in its environment."""
    monkeypatch.setitem(ENVIRONMENT, "CANARY_PASSWORD", CANARY)
    started = site.manager(
        github_hosts=f"http://{forge.host}", github_owners=OWNER, github_folder=str(base)
    )
    started.says("manager started")
    return started


@pytest.fixture
def submit(site: Site, forge: Forge, manager: Process) -> Submit:
    def submit(name: str, args: list[str] | None = None, timeout_ms: int = 60_000) -> str:
        payload: dict[str, Any] = {"name": name, "url": forge.url(name), "args": args or []}
        order = NewOrder(ledger.new_id(), "github", json.dumps(payload))
        order.max_attempts, order.timeout_ms = 1, timeout_ms
        return ledger.submit(site.database, [Request([order])])[0].ids[0]

    return submit


def said(site: Site, order: str) -> str:
    """What the order's log has by now."""
    return "\n".join(line.text for line in journal.read_lines(site.database, order).lines)


def left(mark: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [one for one in processes if mark in (one.info["cmdline"] or [])]


def test_a_repository_is_an_order(site: Site, submit: Submit, forge: Forge, base: Path) -> None:
    commit = forge.make("live", {"main.py": LIVE})
    order = submit("live", ["0"])
    site.ends(order)
    row = site.order(order)
    assert row.status == COMPLETED, row.error
    result = json.loads(row.result or "")
    assert (result["commit"], result["sandbox"]) == (commit, "strict")
    wait_until(lambda: commit in said(site, order), "the log tells the commit")
    for text in (row.result or "", said(site, order), site.processes[0].output):
        assert CANARY not in text
    assert list(base.glob("run-*")) == []


def test_what_it_prints_is_in_the_log_while_it_runs(
    site: Site, submit: Submit, forge: Forge, base: Path
) -> None:
    forge.make("live", {"main.py": LIVE})
    order = submit("live", [mark := "31.415"])
    wait_until(lambda: "began" in said(site, order), "it is heard")
    assert left(mark)
    ledger.cancel(site.database, order)
    with closing(Bell(site.database)) as bell:
        bell.ring(CANCEL)
    wait_until(lambda: not left(mark), "a cancel ends all of it")
    wait_until(lambda: not list(base.glob("run-*")), "its folder too")
    assert site.order(order).status == CANCELLED


def test_nothing_outlives_its_manager(site: Site, submit: Submit, forge: Forge) -> None:
    forge.make("live", {"main.py": LIVE})
    order = submit("live", [mark := "27.182"])
    wait_until(lambda: "began" in said(site, order), "it is heard")
    site.processes[0].kill()
    wait_until(lambda: not left(mark), "all of it is gone")


def test_an_error_says_what_the_program_said(site: Site, submit: Submit, forge: Forge) -> None:
    forge.make("raises", {"main.py": "raise ValueError('no such fruit')\n"})
    order = submit("raises")
    site.ends(order)
    row = site.order(order)
    error = json.loads(row.error or "")
    assert (row.status, row.attempts) == (FAILED, 1)
    assert error["type"] == "ProgramRaised"
    assert error["message"] == "ValueError: no such fruit"
    assert 'File "/project/main.py", line 1' in error["traceback"]


def test_forks_without_end(site: Site, submit: Submit, forge: Forge) -> None:
    forge.make("forks", {"main.py": FORKS})
    order = submit("forks", timeout_ms=4000)
    site.ends(order)
    error = json.loads(site.order(order).error or "")
    assert error["type"] in ("ProgramTimedOut", "MemoryExceeded")
    assert site.processes[0].is_alive()
    forge.make("fine", {"main.py": "print(1)\n"})
    later = submit("fine")
    site.ends(later)
    assert site.order(later).status == COMPLETED

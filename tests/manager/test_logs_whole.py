"""A whole manager: who sees that an order has ended finds all that its job said."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import ledger
from database import Database
from jobs import Context, registry
from ledger.journal import read_lines
from manager.capture import Capture
from manager.main import build
from models import COMPLETED, ENDED
from settings import Settings
from tests.factories import submit
from tests.manager.conftest import JobType
from tests.support import wait_until


@pytest.fixture(scope="module", autouse=True)
def talkers() -> None:
    registry.load(["tests.manager.talkers"])


@pytest.fixture
def managed(database: Database) -> Iterator[Database]:
    """A database on which a manager works."""
    settings = Settings(
        database_url=database.url,
        poll_seconds=0.2,
        max_workers=4,
        grace_seconds=10.0,
        jobs=("tests.manager.talkers",),
    )
    supervisor = build(settings, database)
    supervisor.start()
    yield database
    supervisor.stop()


def texts(database: Database, order: str) -> list[str]:
    return [line.text for line in read_lines(database, order).lines]


def seen_at_the_end(database: Database, orders: list[str]) -> dict[str, list[str]]:
    """What is found of each order as soon as it is seen to have ended."""
    seen: dict[str, list[str]] = {}

    def look() -> bool:
        for order in orders:
            if order not in seen and ledger.find(database, order).status in ENDED:
                seen[order] = texts(database, order)
        return len(seen) == len(orders)

    wait_until(look, "all end", timeout=60)
    assert {ledger.find(database, order).status for order in orders} == {COMPLETED}
    return seen


def test_of_threads(managed: Database, job_type: JobType) -> None:
    def speak(context: Context, number: int) -> None:
        print("printed", number)
        context.log.error("logged")
        print("last", number, end="")

    kind = job_type("speak", speak)
    capture = Capture()
    stdout = sys.stdout
    capture.install()
    try:
        orders = [
            submit(managed, type=kind, payload=f'{{"number":{number}}}') for number in range(100)
        ]
        seen = seen_at_the_end(managed, orders)
    finally:
        capture.remove()
    assert sys.stdout is stdout
    for number, order in enumerate(orders):
        assert seen[order] == [f"printed {number}", "logged", f"last {number}"]


def test_of_processes(managed: Database) -> None:
    orders = [
        submit(managed, type="talk.say", payload=f'{{"text":"run {number}"}}')
        for number in range(20)
    ]
    seen = seen_at_the_end(managed, orders)
    for number, order in enumerate(orders):
        assert seen[order] == [f"run {number}"] * 2


def test_of_one_that_still_runs(managed: Database, job_type: JobType) -> None:
    def slow(context: Context) -> None:
        context.log.warning("begun")
        context.wait(60)

    kind = job_type("slow", slow)
    capture = Capture()
    capture.install()
    try:
        order = submit(managed, type=kind, payload="{}")
        wait_until(lambda: texts(managed, order) == ["begun"], "the line of a running job")
        ledger.cancel(managed, order)
    finally:
        capture.remove()

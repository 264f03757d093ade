"""The roster: what the database is told of the workers, when, and what became of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

import ledger
from database import DatabaseAway, Sql, Transaction
from ledger import ManagerCard
from ledger.workers import WorkerReport, WorkerRow, report_workers, workers
from manager import roster as roster_module
from manager.assignment import Assignment
from manager.gauge import Tree
from manager.outcome import CRASHED, ERROR, HANDED_BACK, SUCCEEDED, TIMED_OUT, Outcome, Usage
from manager.pool import ManageWorker
from manager.roster import MOST_NEWS, Roster
from tests.ledger.evidence import events
from tests.manager.by_hand import T, Unlucky, assignment
from tests.support import wait_until

NAME = "m1"
COUNT = Sql("SELECT count(*) FROM worker")


class Counting(Unlucky):
    """An unlucky database that counts its transactions."""

    writes = 0

    def write(self, work: Callable[[Transaction], T]) -> T:
        self.writes += 1
        return super().write(work)


class Trees:
    """Who supervises what, as the test says."""

    def __init__(self) -> None:
        self.now: dict[str, Tree] = {}

    def trees(self) -> Mapping[str, Tree]:
        return self.now


class Listed:
    """A pool and its roster, stepped by hand, with what the database then says."""

    def __init__(self, database: Counting) -> None:
        self.database = database
        card = ManagerCard(NAME, "host", 1, "0", "database", 4, None, 5_000, 30_000)
        ledger.register(database, card)
        self.pool = ManageWorker(4, min_workers=1, name=NAME, backlog=10, quiet_seconds=0.05)
        self.children = Trees()
        self.draining = False
        self.roster = Roster(
            database, NAME, self.pool, self.children, is_draining=lambda: self.draining
        )
        self.go = threading.Event()

    def run(self) -> str:
        """Give the pool an order that runs until the end; its id."""
        given = assignment()
        self.pool._queue(given.guid, self.go.wait, {"timeout": 20})
        wait_until(lambda: given.guid in self.pool.workers)
        return given.id

    def rows(self) -> list[WorkerRow]:
        return workers(self.database, 100)

    def look(self) -> list[WorkerRow]:
        self.roster.tick()
        return self.rows()

    def states(self) -> list[tuple[str, str, str | None, int]]:
        return [(row.id, row.state, row.order_id, row.assigned) for row in self.look()]

    def news(self) -> list[tuple[str, dict[str, list[str]]]]:
        """What became of workers, without the manager's own events."""
        found = events(self.database)
        return [(one.kind, one.data) for one in found if one.kind.startswith("worker_")]

    def writes(self, ticks: int = 1) -> int:
        """How many transactions so many ticks take."""
        before = self.database.writes
        for _ in range(ticks):
            self.roster.tick()
        return self.database.writes - before


@pytest.fixture
def listed(database_url: str) -> Iterator[Listed]:
    database = Counting(database_url)
    one = Listed(database)
    yield one
    one.go.set()
    one.pool.stop(5)
    one.roster.close()
    database.close()


def test_the_least_workers_are_there_at_rest_from_the_first_look_on(listed: Listed) -> None:
    (row,) = listed.look()
    assert row[:5] == ("m1/1", NAME, 1, "idle", "thread")
    assert (row.assigned, row.done, row.order_id) == (0, 0, None)
    assert row.ram_mb is not None
    assert row.ram_mb > 1
    assert listed.news() == [("worker_added", {"workers": ["m1/1"]})]


def test_who_is_at_work_is_shown_with_its_order(listed: Listed) -> None:
    orders = {listed.run() for _ in range(2)}
    assert {
        order for _, state, order, had in listed.states() if (state, had) == ("busy", 1)
    } == orders
    assert listed.news() == [("worker_added", {"workers": ["m1/1", "m1/2"]})]
    listed.go.set()
    assert listed.pool.wait_idle(5)
    wait_until(lambda: sum(member.done for member in listed.pool.members()) == 2)
    rows = listed.look()
    assert [(row.state, row.order_id, row.done) for row in rows] == [("idle", None, 1)] * 2


def test_a_child_makes_a_process_of_a_worker(listed: Listed) -> None:
    order = listed.run()
    listed.children.now = {"m1/1": Tree(2**22 + 1, False, 0.0)}
    (row,) = listed.look()
    assert (row.kind, row.state, row.order_id, row.ram_mb) == ("process", "starting", order, 0)
    listed.children.now = {"m1/1": Tree(2**22 + 1, True, 0.0)}
    assert [(row.kind, row.state) for row in listed.look()] == [("process", "busy")]
    listed.children.now = {}
    assert [(row.kind, row.state) for row in listed.look()] == [("thread", "busy")]


def test_what_hangs_is_shown_until_it_ends(listed: Listed) -> None:
    order = listed.run()
    listed.look()
    listed.pool.abandon(f"{order}:1")
    assert listed.states() == [("m1/1", "hung", order, 0), ("m1/2", "idle", None, 0)]
    (replaced,) = events(listed.database, "worker_replaced")
    assert (replaced.ids, replaced.data) == ([order], {"workers": ["m1/1"]})
    listed.go.set()
    wait_until(lambda: len(listed.pool.members()) == 1)
    assert listed.states() == [("m1/2", "idle", None, 0)]
    assert listed.news()[-1] == ("worker_removed", {"workers": ["m1/1"]})


def test_a_manager_that_stops_is_draining(listed: Listed) -> None:
    order = listed.run()
    listed.pool._queue("other", int)
    listed.look()
    listed.draining = True
    assert listed.states() == [("m1/1", "draining", order, 1), ("m1/2", "draining", None, 0)]


def test_what_shrank_is_gone(listed: Listed) -> None:
    for _ in range(3):
        listed.run()
    assert len(listed.look()) == 3
    listed.go.set()
    assert listed.pool.wait_idle(5)
    wait_until(lambda: len(listed.look()) == 1)
    removed = [
        one for kind, data in listed.news() if kind == "worker_removed" for one in data["workers"]
    ]
    assert len(removed) == 2


def test_a_thread_that_an_error_ended_stays_visible_as_lost(listed: Listed) -> None:
    def broken() -> None:
        listed.pool.on_room = None
        raise OSError("of the test")

    listed.look()
    listed.pool.on_room = broken
    listed.pool._queue("one", int)
    wait_until(lambda: "m1/2" in [member.name for member in listed.pool.members()])
    assert listed.states() == [("m1/1", "lost", None, 0), ("m1/2", "idle", None, 0)]
    assert ("worker_lost", {"workers": ["m1/1"]}) in listed.news()
    listed.run()
    assert [row[:2] for row in listed.states()] == [("m1/1", "lost"), ("m1/2", "busy")]


def test_at_rest_nothing_is_written(listed: Listed) -> None:
    assert listed.writes() == 1
    listed.roster._due = 0.0
    listed.roster.tick()  # the second look, after which it is known to be at rest
    assert listed.writes(100) == 0
    listed.pool._queue("one", int)
    assert listed.pool.wait_idle(5)
    wait_until(lambda: listed.pool.members()[0].done == 1)
    assert listed.writes() == 1
    assert listed.rows()[0].done == 1


def test_while_at_work_it_is_written_every_two_seconds_and_at_changes(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed.run()
    assert listed.writes(20) == 1
    assert listed.roster._due - time.monotonic() == pytest.approx(2, abs=0.5)
    listed.run()
    assert listed.writes(20) == 1
    monkeypatch.setattr(roster_module, "BUSY_SECONDS", 0)
    listed.roster._due = 0.0
    assert listed.writes(20) == 20


def test_an_outage_loses_no_news_and_the_rows_come_after_it(listed: Listed) -> None:
    listed.look()
    order = listed.run()
    listed.run()
    listed.database.refused = 2
    for _ in range(2):
        with pytest.raises(DatabaseAway):
            listed.roster.tick()
    assert listed.rows()[0].state == "idle"
    assert {row[2] for row in listed.states()} >= {order}
    assert [kind for kind, _ in listed.news()] == ["worker_added"] * 2


def test_what_waits_for_the_database_is_bounded(listed: Listed) -> None:
    for number in range(2 * MOST_NEWS):
        listed.roster._heard("added", f"m1/{number}")
    listed.roster.tick()
    (added,) = (data["workers"] for _, data in listed.news())
    assert len(added) == MOST_NEWS


def test_the_rows_of_others_are_pruned_now_and_then(listed: Listed) -> None:
    stopped = ManagerCard("m0", "host", 1, "0", "database", 4, None, 5_000, 30_000)
    ledger.register(listed.database, stopped)
    (row,) = listed.look()
    of_another = WorkerReport("m0/1", "idle", "thread", 0.0, 1.0, 0, 0, None)
    report_workers(listed.database, "m0", [of_another])
    ledger.retire(listed.database, "m0", "test")
    kept = listed.database.read(COUNT)[0][0]
    listed.roster._prune_at = 0.0
    listed.roster.tick()
    assert (kept, listed.database.read(COUNT)[0][0]) == (2, 1)
    assert listed.rows()[0].id == row.id


@pytest.mark.parametrize(
    ("outcome", "is_news"),
    [
        (Outcome(SUCCEEDED), False),
        (Outcome(ERROR, error_type="ValueError"), False),
        (Outcome(TIMED_OUT, error_type="TimedOut", signal="SIGKILL"), False),
        (Outcome(HANDED_BACK), False),
        (Outcome(CRASHED, error_type="Crashed", exit_code=3), True),
        (Outcome(ERROR, error_type="MemoryExceeded", signal="SIGKILL"), True),
    ],
)
def test_a_worker_that_loses_its_process_is_news(
    listed: Listed, outcome: Outcome, is_news: bool
) -> None:
    def run_apart(_: Assignment) -> Outcome:
        return outcome._replace(usage=Usage(1.5, 10))

    given = assignment()
    given.worker = "m1/1"
    assert listed.roster.watching(run_apart)(given).kind == outcome.kind
    listed.roster.tick()
    replaced = events(listed.database, "worker_replaced")
    assert [(one.ids, one.data) for one in replaced] == (
        [([given.id], {"workers": ["m1/1"], "why": [outcome.error_type]})] if is_news else []
    )
    assert not events(listed.database, "worker_lost"), "it is not"
    assert listed.roster._gauge.ended() == {"m1/1": 1.5}
    assert [row.state for row in listed.rows()] == ["idle"], "its thread serves on"

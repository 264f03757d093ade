"""A manager's parts, put together as `manager.main` does, but stepped by the test's own hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty
from typing import Any, TypeVar

import ledger
from database import Database, DatabaseAway, Sql, Transaction
from jobs import Context
from ledger import Claimed, ManagerCard
from manager.assignment import Assignment
from manager.claimer import Claimer
from manager.executor import Executor
from manager.heartbeat import Heartbeat
from manager.lanes import Lanes
from manager.leases import Leases
from manager.outcome import Outcome
from manager.pace import Pace
from manager.pool import ManageWorker
from manager.transports.database import Polling
from manager.watchman import Watchman
from manager.worker import WorkerThread
from manager.writer import Writer
from tests.factories import submit

T = TypeVar("T")

EVENTS = Sql("SELECT kind FROM event ORDER BY id")


class StillPool(ManageWorker):
    """A pool without threads: what was queued waits until the test runs it."""

    def _start_thread(self) -> None:
        self._threads.append(WorkerThread("never started", lambda _me: None))

    def run_next(self) -> bool:
        """Run the next waiting target on the caller's thread; False when none waits."""
        try:
            worker = self._inbox.get_nowait()
        except Empty:
            return False
        assert worker is not None
        worker.thread = threading.current_thread()
        self.workers[worker.guid] = worker
        worker.run()
        if worker.error is not None:
            raise worker.error
        return True


class Unlucky(Database):
    """A database that refuses some writes, and commits others without being able to say so."""

    refused = 0
    unanswered = 0

    def write(self, work: Callable[[Transaction], T]) -> T:
        if self.refused:
            self.refused -= 1
            raise DatabaseAway("refused by the test")
        result = super().write(work)
        if self.unanswered:
            self.unanswered -= 1
            raise DatabaseAway("the answer to the commit was lost by the test")
        return result


class ByHand:
    """One manager without a loop, a scheduler or (unless a pool is given) a thread."""

    def __init__(
        self,
        database: Database,
        *,
        workers: int = 1,
        name: str = "by-hand",
        stale_seconds: float = 30.0,
        pool: ManageWorker | None = None,
    ) -> None:
        self.database = database
        self.name = name
        card = ManagerCard(name, "host", 1, "0", "database", workers, None, 5_000, 30_000)
        ledger.register(database, card)
        self.rung = 0
        self.leases = Leases(stale_seconds)
        self.pace = Pace()
        self.writer = Writer(database, name, self.leases, self.pace, self._ring)
        self.heartbeat = Heartbeat(database, name, self.leases, self.writer.put)
        self.pool = pool or StillPool(workers, backlog=1_000, name=name)
        self.executor = Executor(self.leases.begin, self._deliver)
        self.watchman = Watchman(
            self.leases, self.pool, self.writer.put, workers, self.heartbeat.stop_own_work
        )
        self.claimer = Claimer(
            database,
            name,
            pool=self.pool,
            leases=self.leases,
            source=Polling(database, name, Lanes(), self.pace),
            pace=self.pace,
            execute=self.executor.execute,
            deliver=self._deliver,
            behind=self.writer.is_behind,
            poll_seconds=30.0,
        )

    def drain(self) -> None:
        """Write every outcome that waits."""
        while self.writer.unwritten():
            self.writer.step()

    def run_all(self) -> int:
        """Run everything that waits for a worker; how many that were."""
        assert isinstance(self.pool, StillPool)
        ran = 0
        while self.pool.run_next():
            ran += 1
        return ran

    def work_off(self) -> None:
        """Claim, run and write once."""
        self.claimer.step()
        self.run_all()
        self.drain()

    def _deliver(self, assignment: Assignment, outcome: Outcome) -> None:
        if self.leases.settle(assignment):
            self.writer.put(assignment, outcome)

    def _ring(self) -> None:
        self.rung += 1


def events(database: Database) -> list[str]:
    """The kinds of all events so far."""
    return [kind for (kind,) in database.read(EVENTS)]


def assignment(**fields: Any) -> Assignment:
    """An order in hand that no database knows."""
    given: dict[str, Any] = {
        "id": ledger.new_id(),
        "type": "add",
        "queue": "default",
        "priority": 2,
        "payload": '{"num1":1,"num2":2}',
        "lease": 1,
        "attempts": 1,
        "crashes": 0,
        "max_attempts": 3,
        "timeout_ms": 60_000,
        "max_silence_ms": None,
        "run_at": 0,
    }
    return Assignment(Claimed(**(given | fields)))


def run_calling(
    hand: ByHand,
    job_type: Callable[..., str],
    call: Callable[[Context], None],
    max_attempts: int = 3,
) -> str:
    """Claim and run an order whose function makes this call while it runs; its id."""
    name = job_type("tests.calls", call)
    order_id = submit(hand.database, type=name, payload="{}", max_attempts=max_attempts)
    hand.claimer.step()
    assert hand.run_all() == 1
    return order_id

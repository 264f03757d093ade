"""The core of a manager: what nearly every part of it works with."""

from __future__ import annotations

from dataclasses import dataclass

from database import Database
from ledger import Lifeline
from ledger.hints import Bell
from manager.assignment import Assignment
from manager.heartbeat import Heartbeat
from manager.leases import Leases
from manager.order_logs import OrderLogs
from manager.outcome import ERROR, FATAL, SUCCEEDED, Outcome
from manager.pace import AHEAD_ORDERS, Pace
from manager.pool import ManageWorker
from manager.scribe import Scribe
from manager.writer import Writer
from settings import Settings

RAN_ON = (SUCCEEDED, ERROR, FATAL)


@dataclass(frozen=True, slots=True)
class Core:
    """What nearly every part of a manager works with."""

    settings: Settings
    database: Database
    name: str
    pool: ManageWorker
    leases: Leases
    pace: Pace
    writer: Writer
    heartbeat: Heartbeat
    logs: OrderLogs
    scribe: Scribe

    def deliver(self, assignment: Assignment, outcome: Outcome) -> None:
        """Take the outcome of an attempt. One that something else has ended counts no more: of a
        thread that ran on, the ledger is told all the same, and says that it came too late."""
        if self.leases.settle(assignment) or _ran_on(assignment, outcome):
            self.writer.put(assignment, outcome)


def make_core(
    settings: Settings, database: Database, name: str, lifeline: Lifeline, bell: Bell
) -> Core:
    """Put the core of the manager of that name together; nothing of it runs yet."""
    leases = Leases(settings.stale_seconds)
    pace = Pace()
    logs = OrderLogs()
    scribe = Scribe(database, logs)
    writer = Writer(database, name, leases, pace, bell.ring, scribe.before_finish)
    return Core(
        settings,
        database,
        name,
        ManageWorker(
            settings.max_workers,
            min_workers=settings.min_workers,
            backlog=2 * AHEAD_ORDERS,
            name=name,
        ),
        leases,
        pace,
        writer,
        Heartbeat(database, name, leases, writer.put, lambda: lifeline.proof),
        logs,
        scribe,
    )


def _ran_on(assignment: Assignment, outcome: Outcome) -> bool:
    """Whether it is what a thread came to that did not look whether it was told to stop."""
    return assignment.apart is None and assignment.started is not None and outcome.kind in RAN_ON

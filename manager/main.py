"""The composition root: the only place that says which parts a manager has."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

from database import Database
from jobs import registry
from ledger import Lifeline, ManagerCard, process_mark, register, server_uptime
from ledger.hints import CANCEL, Bell, Listener
from manager.assignment import Assignment
from manager.bookkeeper import Bookkeeper
from manager.bulk import LOOK_SECONDS as BULK_SECONDS
from manager.bulk import BulkActions
from manager.children import Children
from manager.claimer import Claimer
from manager.claiming import Claiming
from manager.consumption import LOOKS, ConsumptionWatchdog
from manager.executor import Executor, run
from manager.failure_detector import FailureDetector
from manager.heartbeat import Heartbeat
from manager.lanes import Lanes
from manager.leases import Leases
from manager.loop import Loop
from manager.order_logs import OrderLogs
from manager.outcome import Outcome
from manager.pace import AHEAD_ORDERS, Pace
from manager.pool import ManageWorker
from manager.rescuer import Rescuer
from manager.roster import TICK_SECONDS, Roster
from manager.scheduler import Scheduler
from manager.scribe import Scribe
from manager.supervisor import Duty, Parts, Supervisor
from manager.watchman import Watchman
from manager.writer import Writer
from settings import VERSION, Settings

# Each of these costs an idle manager some CPU: none is quicker than it must be.
WATCH_SECONDS = 0.5
CHILDREN_SECONDS = 10.0
PROGRESS_SECONDS = 1.0
LOGS_SECONDS = 1.0
FOLD_SECONDS = 10.0
FIRE_SECONDS = 0.5
LOOK_SECONDS = 1.0
RESCUES_PER_STALE_TIME = 6
STALLED_POLLS = 10
# When a manager that was stopped itself cannot end its work, its wardens do, before it is stale.
LEASE_PART = 0.9


def manager_id() -> str:
    """A name that no other manager has or had: host, process, and a random end."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class _Core:
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
        """Take the outcome of an attempt, if nothing else has ended it."""
        if self.leases.settle(assignment):
            self.writer.put(assignment, outcome)


def build(settings: Settings, database: Database) -> Supervisor:
    """Put a manager together and make it known. Raises `DatabaseAway`, `jobs.errors.LoadError`."""
    registry.load(settings.jobs)
    name = manager_id()
    lifeline = Lifeline(database, name)
    lifeline.start()
    try:
        register(database, _card(settings, name, lifeline))
    except BaseException:
        lifeline.close()
        raise
    bell = Bell(database)
    core = _core(settings, database, name, lifeline, bell)
    lifeline.changed = core.heartbeat.tick
    children = Children(settings.jobs, core.logs)
    core.heartbeat.renewed = lambda at: children.renewed(at + LEASE_PART * settings.stale_seconds)
    heartbeat = core.heartbeat
    roster = Roster(database, name, core.pool, children, lambda: heartbeat.state == "draining")
    claiming = Claiming(_claimers(core, roster.watching(children.run)))
    core.pool.on_room = claiming.wake
    watchman, watchdog = _watchers(core, claiming)

    def heard(hint: str) -> None:
        if hint == CANCEL:
            core.heartbeat.tick()
        else:
            claiming.wake()

    supervisor = Supervisor(
        Parts(
            database=database,
            manager=name,
            lifeline=lifeline,
            pool=core.pool,
            leases=core.leases,
            writer=core.writer,
            heartbeat=core.heartbeat,
            claiming=claiming,
            writing=Loop("writer", core.writer.step, nudge=core.writer.nudge),
            listener=Listener(database, name, heard),
            bell=bell,
            children=children,
            duties=_duties(core, watchman, watchdog, children, bell, roster),
            queues=settings.queues,
            grace_seconds=settings.grace_seconds,
        )
    )
    watchman.too_many = lambda: supervisor.fail("too many hung threads: only a new process helps")
    watchdog.give_up = lambda: supervisor.fail("work waits and none is taken: a new process may")
    return supervisor


def _core(
    settings: Settings, database: Database, name: str, lifeline: Lifeline, bell: Bell
) -> _Core:
    leases = Leases(settings.stale_seconds)
    pace = Pace()
    logs = OrderLogs()
    scribe = Scribe(database, logs)
    writer = Writer(database, name, leases, pace, bell.ring, scribe.before_finish)
    return _Core(
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


def _claimers(core: _Core, run_apart: Callable[[Assignment], Outcome]) -> Callable[[], Claimer]:
    lanes = Lanes(core.settings.queues)
    executor = Executor(core.leases.begin, core.deliver, run_apart, core.logs.listening(run))

    def make() -> Claimer:
        return Claimer(
            core.database,
            core.name,
            pool=core.pool,
            leases=core.leases,
            lanes=lanes,
            pace=core.pace,
            execute=executor.execute,
            deliver=core.deliver,
            behind=core.writer.is_behind,
            poll_seconds=core.settings.poll_seconds,
        )

    return make


def _watchers(core: _Core, claiming: Claiming) -> tuple[Watchman, ConsumptionWatchdog]:
    settings = core.settings
    watchman = Watchman(
        core.leases,
        core.pool,
        core.writer.put,
        settings.max_workers,
        core.heartbeat.stop_own_work,
    )
    watchdog = ConsumptionWatchdog(
        core.database,
        claiming,
        core.pool,
        settings.queues,
        STALLED_POLLS * settings.poll_seconds,
        unwritten=core.writer.unwritten,
        is_steady=core.heartbeat.is_steady,
    )
    return watchman, watchdog


def _duties(
    core: _Core,
    watchman: Watchman,
    watchdog: ConsumptionWatchdog,
    children: Children,
    bell: Bell,
    roster: Roster,
) -> tuple[Duty, ...]:
    settings, database, heartbeat = core.settings, core.database, core.heartbeat

    def is_steady(seconds: float) -> bool:
        """Whether others had the time to beat since an outage, seen from here or not."""
        return heartbeat.is_steady(seconds) and server_uptime(database) >= seconds

    rescuer = Rescuer(database, core.name, settings.stale_seconds, is_steady)
    actions = BulkActions(database, core.name, bell.ring, lambda: bell.ring(CANCEL))
    rescue_seconds = max(settings.stale_seconds / RESCUES_PER_STALE_TIME, 0.1)
    return (
        Duty("heartbeat", heartbeat.tick, settings.heartbeat_seconds, alone=True),
        Duty("roster", roster.tick, TICK_SECONDS, alone=True),
        Duty("progress", heartbeat.report_progress, PROGRESS_SECONDS),
        Duty("logs", core.scribe.tick, LOGS_SECONDS),
        Duty("watchman", watchman.tick, WATCH_SECONDS, alone=True),
        Duty("children", children.tick, CHILDREN_SECONDS, alone=True),
        Duty("rescuer", rescuer.tick, rescue_seconds),
        Duty("failure detector", FailureDetector(database, core.name).tick, LOOK_SECONDS),
        Duty("watchdog", watchdog.tick, watchdog.patience_seconds / LOOKS),
        Duty(
            "scheduler",
            Scheduler(database, core.name, bell.ring).tick,
            FIRE_SECONDS,
            alone=True,
        ),
        Duty("bulk actions", actions.tick, BULK_SECONDS, alone=True),
        Duty("bookkeeper", Bookkeeper(database).tick, FOLD_SECONDS),
    )


def _card(settings: Settings, name: str, lifeline: Lifeline) -> ManagerCard:
    return ManagerCard(
        id=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=VERSION,
        transport=settings.transport,
        slots=settings.max_workers,
        queues=",".join(settings.queues) or None,
        heartbeat_ms=round(settings.heartbeat_seconds * 1000),
        stale_ms=round(settings.stale_seconds * 1000),
        process=process_mark(os.getpid()),
        proof=lifeline.proof,
        types=",".join(registry.names()),
    )

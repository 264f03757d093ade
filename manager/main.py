"""The composition root: the only place that says which parts a manager has."""

from __future__ import annotations

import os
import secrets
import socket

import structlog

from database import Database
from jobs import registry
from ledger import ManagerCard, register
from ledger.hints import CANCEL, Bell, Listener
from manager.assignment import Assignment
from manager.bookkeeper import Bookkeeper
from manager.claimer import Claimer
from manager.executor import Executor
from manager.heartbeat import Heartbeat
from manager.lanes import Lanes
from manager.leases import Leases
from manager.loop import Loop
from manager.outcome import Outcome
from manager.pace import AHEAD_ORDERS, Pace
from manager.pool import ManageWorker
from manager.rescuer import Rescuer
from manager.supervisor import Duty, Parts, Supervisor
from manager.watchman import Watchman
from manager.writer import Writer
from settings import VERSION, Settings

log = structlog.get_logger("capataz.manager")

WATCH_SECONDS = 0.25
PROGRESS_SECONDS = 1.0
FOLD_SECONDS = 10.0
RESCUES_PER_STALE_TIME = 6


def manager_id() -> str:
    """A name that no other manager has or had: host, process, and a random end."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def build(settings: Settings, database: Database) -> Supervisor:
    """Put a manager together and make it known. Raises `DatabaseAway`, `jobs.errors.LoadError`."""
    registry.load(settings.jobs)
    _warn_of_isolation()
    name = manager_id()
    register(database, _card(settings, name))
    bell = Bell(database)
    leases = Leases(settings.stale_seconds)
    pace = Pace()
    writer = Writer(database, name, leases, pace, bell.ring)
    heartbeat = Heartbeat(database, name, leases)
    pool = ManageWorker(
        settings.max_workers,
        min_workers=settings.min_workers,
        backlog=2 * AHEAD_ORDERS,
        name=name,
        low_mark=AHEAD_ORDERS // 2,
    )
    claiming = Loop("claimer", _claimer(settings, database, name, pool, leases, pace, writer).step)
    pool.on_room = claiming.wake
    watchman = Watchman(leases, pool, writer.put, settings.max_workers)

    def heard(hint: str) -> None:
        if hint == CANCEL:
            heartbeat.tick()
        else:
            claiming.wake()

    supervisor = Supervisor(
        Parts(
            database=database,
            manager=name,
            pool=pool,
            leases=leases,
            writer=writer,
            heartbeat=heartbeat,
            claiming=claiming,
            writing=Loop("writer", writer.step, nudge=writer.nudge),
            listener=Listener(database, name, heard),
            bell=bell,
            duties=_duties(settings, database, heartbeat, watchman),
            grace_seconds=settings.grace_seconds,
        )
    )
    watchman.too_many = lambda: supervisor.fail("too many hung threads: only a new process helps")
    return supervisor


def _claimer(
    settings: Settings,
    database: Database,
    name: str,
    pool: ManageWorker,
    leases: Leases,
    pace: Pace,
    writer: Writer,
) -> Claimer:
    def deliver(assignment: Assignment, outcome: Outcome) -> None:
        if leases.settle(assignment):
            writer.put(assignment, outcome)

    return Claimer(
        database,
        name,
        pool=pool,
        leases=leases,
        lanes=Lanes(settings.queues),
        pace=pace,
        execute=Executor(leases.is_open, deliver).execute,
        deliver=deliver,
        unwritten=writer.unwritten,
        poll_seconds=settings.poll_seconds,
    )


def _duties(
    settings: Settings, database: Database, heartbeat: Heartbeat, watchman: Watchman
) -> tuple[Duty, ...]:
    rescuer = Rescuer(database, settings.stale_seconds, heartbeat.is_steady)
    rescue_seconds = max(settings.stale_seconds / RESCUES_PER_STALE_TIME, 0.1)
    return (
        Duty("heartbeat", heartbeat.tick, settings.heartbeat_seconds, alone=True),
        Duty("progress", heartbeat.report_progress, PROGRESS_SECONDS),
        Duty("watchman", watchman.tick, WATCH_SECONDS),
        Duty("rescuer", rescuer.tick, rescue_seconds),
        Duty("bookkeeper", Bookkeeper(database).tick, FOLD_SECONDS),
    )


def _warn_of_isolation() -> None:
    apart = [name for name in registry.names() if registry.get(name).isolation == "process"]
    if apart:
        log.warning("isolation=process has no effect yet; these types run in threads", types=apart)


def _card(settings: Settings, name: str) -> ManagerCard:
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
    )

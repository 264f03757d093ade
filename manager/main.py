"""The composition root: the only place that says which parts a manager has."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable

from database import Database
from jobs import outbound, registry
from ledger import Lifeline, ManagerCard, process_mark, register
from ledger.hints import CANCEL, Bell, Listener
from manager.assignment import Assignment
from manager.brokers import Post, make_transport
from manager.carrier import Carrier, make_carrier
from manager.children import Children
from manager.claimer import Claimer
from manager.claiming import Claiming
from manager.consumption import ConsumptionWatchdog
from manager.core import Core, make_core
from manager.duties import duties
from manager.executor import Executor, run
from manager.loop import Loop
from manager.outcome import Outcome
from manager.roster import Roster
from manager.supervisor import Parts, Supervisor
from manager.transports.source import Source
from manager.watchman import Watchman
from settings import VERSION, Settings

STALLED_POLLS = 10
# When a manager that was stopped itself cannot end its work, its wardens do, before it is stale.
LEASE_PART = 0.9


def manager_id() -> str:
    """A name that no other manager has or had: host, process, and a random end."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def _load_jobs(settings: Settings) -> None:
    registry.load(settings.jobs)
    outbound.configure(settings.webhook_secret, settings.private_networks)


def build(settings: Settings, database: Database) -> Supervisor:
    """Put a manager together and make it known. Raises `DatabaseAway`, `jobs.errors.LoadError`."""
    _load_jobs(settings)
    name = manager_id()
    lifeline = Lifeline(database, name)
    lifeline.start()
    try:
        register(database, _card(settings, name, lifeline))
    except BaseException:
        lifeline.close()
        raise
    bell = Bell(database)
    core = make_core(settings, database, name, lifeline, bell)
    lifeline.changed = core.heartbeat.tick
    heartbeat, children = core.heartbeat, _children(core)
    roster = Roster(database, name, core.pool, children, lambda: heartbeat.state == "draining")
    transport = make_transport(settings, name)
    carrier, post = make_carrier(core, transport), Post(core, bell, transport)
    claiming = Claiming(_claimers(core, carrier.source, roster.watching(children.run)))
    carrier.on_arrival = core.pool.on_room = claiming.wake
    watchman, watchdog = _watchers(core, claiming)
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
            carrier=carrier,
            writing=Loop("writer", core.writer.step, nudge=core.writer.nudge),
            listener=Listener(database, name, _heard(core, carrier, claiming)),
            bell=bell,
            children=children,
            duties=(
                *duties(core, watchman, watchdog, children, bell, roster),
                *post.duties,
            ),
            leave_broker=post.close,
            queues=settings.queues,
            grace_seconds=settings.grace_seconds,
        )
    )
    watchman.too_many = lambda: supervisor.fail("too many hung threads: only a new process helps")
    watchdog.give_up = lambda: supervisor.fail("work waits and none is taken: a new process may")
    return supervisor


def _heard(core: Core, carrier: Carrier, claiming: Claiming) -> Callable[[str], None]:
    def heard(hint: str) -> None:
        if hint == CANCEL:
            core.heartbeat.tick()
        else:
            carrier.wake()
            claiming.wake()

    return heard


def _children(core: Core) -> Children:
    children = Children(core.settings.jobs, core.logs)
    part = LEASE_PART * core.settings.stale_seconds
    core.heartbeat.renewed = lambda at: children.renewed(at + part)
    # The manager's row was written just now: what runs before the first beat has its end as well.
    core.heartbeat.renewed(time.monotonic())
    return children


def _claimers(
    core: Core, source: Source, run_apart: Callable[[Assignment], Outcome]
) -> Callable[[], Claimer]:
    executor = Executor(core.leases.begin, core.deliver, run_apart, core.logs.listening(run))

    def make() -> Claimer:
        return Claimer(
            core.database,
            core.name,
            pool=core.pool,
            leases=core.leases,
            source=source,
            pace=core.pace,
            execute=executor.execute,
            deliver=core.deliver,
            behind=core.writer.is_behind,
            poll_seconds=core.settings.poll_seconds,
        )

    return make


def _watchers(core: Core, claiming: Claiming) -> tuple[Watchman, ConsumptionWatchdog]:
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

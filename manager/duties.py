"""The duties of a manager, and how often each is due."""

from __future__ import annotations

from collections.abc import Callable

from ledger import server_uptime
from ledger.hints import CANCEL, Bell
from manager import sampler
from manager.auditor import Auditor
from manager.bookkeeper import Bookkeeper
from manager.bulk import LOOK_SECONDS as BULK_SECONDS
from manager.bulk import BulkActions
from manager.children import Children
from manager.clock_watch import ClockWatch
from manager.consumption import LOOKS, ConsumptionWatchdog
from manager.core import Core
from manager.failure_detector import FailureDetector
from manager.janitor import Janitor
from manager.rescuer import Rescuer
from manager.roster import TICK_SECONDS, Roster
from manager.sampler import Sampler
from manager.scheduler import Scheduler
from manager.supervisor import Duty
from manager.watchman import Watchman

# Each of these costs an idle manager some CPU: none is quicker than it must be.
WATCH_SECONDS = 0.5
CHILDREN_SECONDS = 10.0
PROGRESS_SECONDS = 1.0
LOGS_SECONDS = 1.0
FOLD_SECONDS = 10.0
FIRE_SECONDS = 0.5
DELETE_SECONDS = 1.0
AUDIT_SECONDS = 20.0
LOOK_SECONDS = 1.0
RESCUES_PER_STALE_TIME = 6


def duties(
    core: Core,
    watchman: Watchman,
    watchdog: ConsumptionWatchdog,
    children: Children,
    bell: Bell,
    roster: Roster,
) -> tuple[Duty, ...]:
    """All that a manager does again and again, beside claiming and writing."""
    settings, database, heartbeat = core.settings, core.database, core.heartbeat
    is_steady = _steadiness(core)
    rescuer = Rescuer(database, core.name, core.leases, settings.stale_seconds, is_steady)
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
        Duty("sampler", Sampler(database, core.name, roster.reports).tick, sampler.TICK_SECONDS),
        Duty("bookkeeper", Bookkeeper(database).tick, FOLD_SECONDS),
        Duty(
            "janitor",
            Janitor(database, core.name, settings.retention_hours).tick,
            DELETE_SECONDS,
            alone=True,
        ),
        Duty(
            "auditor",
            Auditor(database, core.name, settings.stale_seconds, is_steady).tick,
            AUDIT_SECONDS,
        ),
    )


def _steadiness(core: Core) -> Callable[[float], bool]:
    """Whether others had so many seconds to beat since an outage, seen from here or not, and since
    the clock was set ahead."""
    database, clock_watch = core.database, ClockWatch(core.database)

    def is_steady(seconds: float) -> bool:
        return (
            core.heartbeat.is_steady(seconds)
            and server_uptime(database) >= seconds
            and clock_watch.is_steady(seconds)
        )

    return is_steady

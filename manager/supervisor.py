"""Starting in order, watching, and stopping in the reverse order."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from database import Database, DatabaseAway
from ledger import Lifeline, retire
from ledger.hints import Bell, Listener
from manager.carrier import Carrier
from manager.children import Children
from manager.claiming import Claiming
from manager.heartbeat import Heartbeat
from manager.leases import Leases
from manager.loop import Loop
from manager.outcome import HANDED_BACK, Outcome
from manager.pool import ManageWorker
from manager.writer import Writer

ASKED = "asked to"
OK = 0
FAULTY = 1
DRAIN_SECONDS = 2.0
SIGN_OFF_SECONDS = 1.5
LOOP_SECONDS = 5.0
LEAST_SECONDS = 0.5
WATCH_SECONDS = 1.0
# A host's clock that is off by more than that, of what it was, has been set.
CLOCK_SECONDS = 1.0

log = structlog.get_logger("capataz.manager")


@dataclass(frozen=True, slots=True)
class Duty:
    """One `tick` and how often it is due, in seconds. `alone`: on a thread that nobody shares."""

    name: str
    tick: Callable[[], None]
    seconds: float
    alone: bool = False


class Every(IntervalTrigger):  # type: ignore[misc]
    """Due every so many seconds.

    What was passed over, since the host slept or its clock was set ahead, is one time: the
    scheduler would count out a year's half seconds one by one, in memory, and do nothing else.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds=seconds, timezone="UTC")

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The time after this one; seconds from now where that is past."""
        following: datetime = super().get_next_fire_time(previous_fire_time, now)
        return following if following > now else now + self.interval


@dataclass(frozen=True, slots=True)
class Parts:
    """What a supervisor starts and stops."""

    database: Database
    manager: str
    lifeline: Lifeline
    pool: ManageWorker
    leases: Leases
    writer: Writer
    heartbeat: Heartbeat
    claiming: Claiming
    carrier: Carrier
    writing: Loop
    listener: Listener
    bell: Bell
    children: Children
    duties: tuple[Duty, ...]
    queues: tuple[str, ...]
    grace_seconds: float
    leave_broker: Callable[[], None] = lambda: None


class Supervisor:
    """Runs a manager until it is told to stop, or until a part of it is beyond repair."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        # A queue, because its `put` may be called by a signal handler in the middle of its `get`.
        self._wishes: SimpleQueue[str] = SimpleQueue()
        self._reason = ASKED
        self._code = OK
        self._stopped = False
        self._clock = _clock()
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(4)}
            | {duty.name: ThreadPoolExecutor(1) for duty in parts.duties if duty.alone},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def run(self) -> int:
        """Start, wait, stop; the exit code of the process."""
        self.start()
        while True:
            try:
                self._reason = self._wishes.get(timeout=WATCH_SECONDS)
                return self.stop()
            except Empty:
                self._watch()

    def handle_signals(self) -> None:
        """SIGTERM, SIGINT and SIGHUP stop within the grace; a second one hands everything back at
        once. A SIGHUP that is ignored, as under `nohup`, stays so."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                before = signal.signal(number, self._signalled)
                # A fork that a job made is no manager: it is to end when it is told to.
                os.register_at_fork(after_in_child=partial(signal.signal, number, before))

    def fail(self, reason: str) -> None:
        """Stop in good order but exit non-zero, so that whatever supervises us starts us anew."""
        if self._code == OK:
            self._code = FAULTY
            self._wishes.put(reason)

    def start(self) -> None:
        """Start every part. The writer first, since all others end in it; the claimer last."""
        parts = self._parts
        parts.writing.start()
        for duty in parts.duties:
            self._scheduler.add_job(
                self._guarded(duty),
                Every(duty.seconds),
                id=duty.name,
                executor=duty.name if duty.alone else "default",
            )
        self._scheduler.start()
        parts.listener.start()
        parts.carrier.start()
        parts.claiming.start()
        log.info(
            "manager started",
            manager=parts.manager,
            workers=parts.pool.max_workers,
            queues=parts.queues or "all",
        )

    def stop(self) -> int:
        """Stop every part, in the order of who depends on whom; the exit code."""
        parts = self._parts
        if self._stopped:
            return self._code
        self._stopped = True
        until = time.monotonic() + parts.grace_seconds
        before = parts.writer.handed_back
        parts.heartbeat.state = "draining"
        if self._code == OK:
            log.info("manager stopping", reason=self._reason, running=parts.pool.load())
        else:
            log.error("manager stopping", reason=self._reason, running=parts.pool.load())
        parts.claiming.stop(max(LEAST_SECONDS, min(LOOP_SECONDS, parts.grace_seconds)))
        parts.carrier.stop()
        # Then what never began goes back, and what runs gets its grace.
        self._hand_back(started=False)
        parts.pool.withdraw()
        self._wait_for_workers(until)
        self._hand_back(started=True)
        parts.pool.stop()
        parts.children.close()
        # The writer after all who write; the heartbeat last, so that no lease ends before.
        drained = self._drain(until)
        parts.writing.stop(LOOP_SECONDS if drained else LEAST_SECONDS)
        if self._scheduler.running:
            self._scheduler.pause()
        self._sign_off()
        log.info(
            "manager stopped",
            reason=self._reason,
            handed_back=parts.writer.handed_back - before,
            all_written=drained,
        )
        return self._code

    def _sign_off(self) -> None:
        """Bounded, on a thread of its own: the database may be away, and on SQLite another process
        may hold the turn to write for as long as it is stopped."""
        parts = self._parts

        def sign() -> None:
            try:
                retire(parts.database, parts.manager, self._reason)
            except DatabaseAway as error:
                log.warning("could not sign off", reason=str(error))
            finally:
                parts.bell.close()
                parts.listener.close()
                # From here on others may take what is left.
                parts.lifeline.close()
                parts.leave_broker()
                # Duties under way still have connections.
                if self._scheduler.running:
                    self._scheduler.shutdown(wait=True)
                parts.database.close()

        signing = threading.Thread(target=sign, name="sign-off", daemon=True)
        signing.start()
        signing.join(SIGN_OFF_SECONDS)

    def _signalled(self, _number: int, _frame: Any) -> None:
        # Nothing else here: a handler runs in the middle of anything.
        self._wishes.put(ASKED)

    def _follow_clock(self) -> None:
        """Have every duty at once when the clock was set: the scheduler goes by that clock, and
        would wait an hour for the next heartbeat when it was set back by one."""
        before, self._clock = self._clock, _clock()
        if abs(self._clock - before) < CLOCK_SECONDS:
            return
        log.warning("this host's clock was set", by_seconds=round(self._clock - before, 1))
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))

    def _watch(self) -> None:
        self._follow_clock()
        for part in (self._parts.claiming, self._parts.writing):
            if not part.alive():
                self.fail("a loop of the manager has ended by itself")

    def _wait_for_workers(self, until: float) -> None:
        # Not for threads whose order has ended: nothing that they still do counts.
        while self._parts.leases.open() and not self._asked_again():
            self._follow_clock()
            left = until - time.monotonic()
            if left <= 0 or self._parts.pool.wait_idle(min(left, 0.1)):
                return

    def _asked_again(self) -> bool:
        """Whether a signal came since the stop began."""
        with suppress(Empty):
            while True:
                if self._wishes.get_nowait() == ASKED:
                    return True
        return False

    def _hand_back(self, *, started: bool) -> None:
        """Give orders back with their attempt: their next holder begins again."""
        leases, back = self._parts.leases, Outcome(HANDED_BACK)
        for assignment in leases.open():
            if leases.withdraw(assignment):
                self._parts.writer.put(assignment, back)
            elif started:
                # What runs in a child is handed back by its worker, when nothing of it is left.
                if assignment.apart is None and leases.settle(assignment):
                    self._parts.writer.put(assignment, back)
                assignment.tell_to_stop()

    def _drain(self, until: float) -> bool:
        """Wait until every outcome is written; while the database is away, until it is no use."""
        drained = self._parts.leases.wait_empty(max(until - time.monotonic(), DRAIN_SECONDS))
        if not drained:
            log.error("outcomes left unwritten; their orders will be rescued and run again")
        return drained

    def _guarded(self, duty: Duty) -> Callable[[], None]:
        """A duty that fails is logged, and due again: none may end the scheduler's thread."""

        def tick() -> None:
            try:
                duty.tick()
            except DatabaseAway as error:
                log.debug("duty put off: database away", duty=duty.name, reason=str(error))
            except Exception:
                log.exception("a duty failed; it will be tried again", duty=duty.name)

        return tick


def _clock() -> float:
    """By how many seconds the host's clock is ahead of the one that nobody sets."""
    return time.time() - time.monotonic()

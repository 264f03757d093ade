"""The heartbeat: says that this manager lives, renews its leases, and learns what it has lost."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable

import structlog

from database import Database, DatabaseAway
from ledger import Beat, LostLease, Proof, renew
from manager.assignment import Assignment
from manager.cleaning import clean
from manager.leases import Leases
from manager.outcome import HANDED_BACK, Outcome
from models import CANCELLED

# A beat that takes longer, of the stale time, has met a database in trouble: others may not have
# come through it.
SLOW_PART = 0.25

log = structlog.get_logger("capataz.manager")


class Heartbeat:
    """One beat renews all leases in one statement; `tick` may be called early, from any thread."""

    def __init__(
        self,
        database: Database,
        manager: str,
        leases: Leases,
        put: Callable[[Assignment, Outcome], None],
        proof: Callable[[], Proof] = Proof,
    ) -> None:
        """`put` takes an outcome to be written; `proof` tells what the lifeline says just now."""
        self.renewed: Callable[[float], None] = lambda _at: None
        self._put = put
        self._proof = proof
        self._database = database
        self._manager = manager
        self._leases = leases
        self._slow_seconds = SLOW_PART * leases.stale_seconds
        self._lock = threading.Lock()
        self._began: float | None = None
        self._failing = False
        self._reason = ""
        self._lapsed = False
        self._back = -math.inf
        self._unsent: dict[Assignment, str] = {}
        self.state = "running"

    def tick(self) -> None:
        """Beat once. A database that is away is news once, and ends this manager's own work in
        time: what nobody renews will be taken by others."""
        with self._lock:
            at = self._began = time.monotonic()
            try:
                lost = self._beat(self._leases.held())
            except DatabaseAway as error:
                self._missed(str(error))
                return
            finally:
                if time.monotonic() - at > self._slow_seconds:
                    self._back = time.monotonic()
                self._began = None
            self._leases.renewed(at)
            self.renewed(at)
            if self._failing:
                log.info("heartbeat is back")
                self._back = time.monotonic()
            self._failing = self._lapsed = False
            self._reason = ""
            for lease in lost:
                self._lose(lease)

    def is_steady(self, seconds: float) -> bool:
        """Whether no beat failed or was slow for so long: after such a time others need theirs to
        beat again."""
        now = time.monotonic()
        if self._hangs(now) or self._failing or self._leases.lapsed(now):
            return False
        return now - self._back > seconds

    def _hangs(self, now: float) -> bool:
        began = self._began
        return began is not None and now - began > self._slow_seconds

    def report_progress(self) -> None:
        """Write what jobs said of their progress since the last time."""
        beats = [
            Beat(a.id, a.order.lease, a.worker, a.age_ms(), progress)
            for a in self._leases.open()
            if (progress := _progress(a) or self._unsent.get(a)) is not None
        ]
        self._unsent = {}
        if beats:
            try:
                # Without the proof: what the beats on another thread say of it is newer.
                lost = renew(self._database, self._manager, beats, self.state)
            except DatabaseAway:
                told = {beat.id: beat.progress for beat in beats if beat.progress}
                self._unsent = {a: told[a.id] for a in self._leases.open() if a.id in told}
                return
            for lease in lost:
                self._lose(lease)

    def _beat(self, held: list[Assignment]) -> list[LostLease]:
        beats = [
            Beat(a.id, a.order.lease, a.worker if a.started is not None else None, a.age_ms())
            for a in held
        ]
        return renew(self._database, self._manager, beats, self.state, self._proof())

    def _missed(self, reason: str) -> None:
        self._reason = reason
        if not self._failing:
            log.warning("heartbeat missed; trying again", reason=reason)
            self._failing = True
        if self._leases.lapsed():
            self.stop_own_work()

    def stop_own_work(self) -> None:
        """The leases have lapsed: tell what runs, and hand back what has not begun, should nobody
        else have taken it by the time that this can be written. From any thread; safe twice."""
        running, waiting = 0, 0
        for assignment in self._leases.open():
            if self._leases.withdraw(assignment):
                waiting += 1
                self._put(assignment, Outcome(HANDED_BACK))
            else:
                running += not assignment.told
                assignment.tell_to_stop()
        if running or waiting or not self._lapsed:
            self._lapsed = True
            log.error(
                "leases can no longer be trusted; stopping own work",
                running=running,
                waiting=waiting,
                reason=self._why(),
            )

    def _why(self) -> str:
        """Why no beat came through of late."""
        began = self._began
        if self._reason or began is None:
            return self._reason or "no heartbeat was sent in time: was this process stopped?"
        return f"a heartbeat has had no answer for {time.monotonic() - began:.0f} s"

    def _lose(self, lease: LostLease) -> None:
        assignment = self._leases.get(lease.id)
        if assignment is None or assignment.order.lease != lease.lease:
            return  # it ended, and was written, while the beat was under way
        if lease.status == CANCELLED:
            if not self._leases.withdraw(assignment) and self._leases.settle(assignment):
                self._leases.leave(assignment, CANCELLED)
            log.info("order cancelled; its worker was told", job=lease.id)
        elif self._leases.is_open(assignment):
            log.warning("lease lost; its worker was told", job=lease.id, status=lease.status)
        else:
            return  # the writer will report it and learn the same
        # A running job is told; what has not begun never will.
        self._leases.withdraw(assignment)
        assignment.tell_to_stop()
        self._leases.release([(lease.id, lease.lease)])


def _progress(assignment: Assignment) -> str | None:
    latest = assignment.context.take_progress() if assignment.context is not None else None
    if latest is None:
        return None
    progress: dict[str, object] = {"percent": latest.percent}
    if latest.message:
        one_line = latest.message.replace("\r\n", " ").replace("\n", " ")
        progress["message"] = clean(one_line)
    return json.dumps(progress)

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
from manager.leases import Leases
from manager.outcome import HANDED_BACK, Outcome
from models import CANCELLED

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
        self._put = put
        self._proof = proof
        self._database = database
        self._manager = manager
        self._leases = leases
        self._lock = threading.Lock()
        self._failing = False
        self._lapsed = False
        self._back = -math.inf
        self._unsent: dict[Assignment, str] = {}
        self.state = "running"

    def tick(self) -> None:
        """Beat once. A database that is away is news once, and ends this manager's own work in
        time: what nobody renews will be taken by others."""
        with self._lock:
            at = time.monotonic()
            try:
                lost = self._beat(self._leases.held())
            except DatabaseAway as error:
                self._missed(str(error))
                return
            self._leases.renewed(at)
            if self._failing:
                log.info("heartbeat is back")
                self._back = time.monotonic()
            self._failing = self._lapsed = False
            for lease in lost:
                self._lose(lease)

    def is_steady(self, seconds: float) -> bool:
        """Whether no beat failed for so long: after an outage others need time to beat again."""
        return not self._failing and time.monotonic() - self._back > seconds

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
                lost = renew(self._database, self._manager, beats, self.state, self._proof())
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
        if not self._failing:
            log.warning("heartbeat missed; trying again", reason=reason)
            self._failing = True
        if self._leases.lapsed() and not self._lapsed:
            self._lapsed = True
            held = self._leases.open()
            log.error("leases can no longer be trusted; stopping own work", orders=len(held))
            for assignment in held:
                self._hand_back(assignment)

    def _lose(self, lease: LostLease) -> None:
        assignment = self._leases.get(lease.id)
        if assignment is None or assignment.order.lease != lease.lease:
            return  # it ended, and was written, while the beat was under way
        if lease.status == CANCELLED:
            if self._leases.settle(assignment) and assignment.started is not None:
                self._leases.leave(assignment)
            log.info("order cancelled; its worker was told", job=lease.id)
        elif self._leases.is_open(assignment):
            log.warning("lease lost; its worker was told", job=lease.id, status=lease.status)
        else:
            return  # the writer will report it and learn the same
        self._stop(assignment)
        self._leases.release([(lease.id, lease.lease)])

    def _hand_back(self, assignment: Assignment) -> None:
        """Tell a running job; what has not begun goes back, should nobody else have taken it by
        the time that this can be written."""
        waits = assignment.started is None and assignment.apart is None
        if waits and self._leases.settle(assignment):
            self._put(assignment, Outcome(HANDED_BACK))
        assignment.tell_to_stop()

    def _stop(self, assignment: Assignment) -> None:
        """Tell a running job; what has not begun never will."""
        if assignment.started is None:
            self._leases.settle(assignment)
            self._leases.release([(assignment.id, assignment.order.lease)])
        assignment.tell_to_stop()


def _progress(assignment: Assignment) -> str | None:
    latest = assignment.context.take_progress() if assignment.context is not None else None
    if latest is None:
        return None
    progress: dict[str, object] = {"percent": latest.percent}
    if latest.message:
        progress["message"] = latest.message
    return json.dumps(progress)

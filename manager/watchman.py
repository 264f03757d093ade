"""The watchman: ends attempts past their deadline or silent too long, whatever they do."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from manager.assignment import Assignment
from manager.leases import Leases
from manager.outcome import HANDED_BACK, TIMED_OUT, Outcome
from manager.pace import AHEAD_SECONDS, STOCK_SECONDS
from manager.pool import ManageWorker
from models import CANCELLED

# So long after it was told to stop, a thread that runs on is given up.
GRACE_SECONDS = 2.0

log = structlog.get_logger("capataz.manager")


class Watchman:
    """One tick times out what is overdue.

    A child process is ended, and its worker reports when nothing of it is left. A thread cannot be
    killed: the end is recorded, the job told to stop, and when it runs on all the same its slot is
    replaced. When more than `most_hung` are left behind, `too_many` is called: only a new process
    gets rid of them. Those of cancelled orders count too, but alone they never make it so many:
    customers' cancels must not end a manager.
    """

    def __init__(
        self,
        leases: Leases,
        pool: ManageWorker,
        deliver: Callable[[Assignment, Outcome], None],
        most_hung: int,
        stop_own_work: Callable[[], None] = lambda: None,
    ) -> None:
        """`stop_own_work` is called while the leases have lapsed."""
        self._stop_own_work = stop_own_work
        self._leases = leases
        self._pool = pool
        self._deliver = deliver
        self._most_hung = most_hung
        self.too_many: Callable[[], None] | None = None

    def tick(self) -> None:
        """Look at every running attempt once."""
        now = time.monotonic()
        # Here, and not only where a beat fails: a beat may hang without an answer.
        if self._leases.lapsed(now):
            self._stop_own_work()
        patience = self._patience(now)
        for assignment in self._leases.open():
            if self._leases.waits(assignment) and now - assignment.claimed > patience:
                self._give_back(assignment)
                continue
            overdue = _overdue(assignment, now)
            if overdue is not None:
                self._end(assignment, now, *overdue)
        for assignment, why in self._leases.left():
            if assignment.guid not in self._pool.workers:
                self._leases.forget(assignment)
            elif assignment.apart is None:
                self._replace(assignment, why, now)
        if self.too_many is not None and self._pool.hung() > self._most_hung:
            self.too_many()

    def _replace(self, assignment: Assignment, why: str, now: float) -> None:
        """Give up a thread that was told to stop and does not."""
        if assignment.told_on is None or now - assignment.told_on < GRACE_SECONDS:
            return
        cancelled = why == CANCELLED and not _is_late(assignment, now)
        if cancelled and self._pool.hung() >= self._most_hung:
            return
        if self._pool.abandon(assignment.guid):
            log.warning(
                "a thread was told to stop and runs on: it was left behind, and its slot replaced",
                job=assignment.id,
                type=assignment.order.type,
                why=why,
                hung=self._pool.hung(),
            )
        self._leases.forget(assignment)

    def _patience(self, now: float) -> float:
        """How long an order may wait for a worker: not behind runs that turned out to be long."""
        long = sum(
            a.started is not None and now - a.started > STOCK_SECONDS for a in self._leases.open()
        )
        return STOCK_SECONDS if long >= self._pool.max_workers else AHEAD_SECONDS

    def _give_back(self, assignment: Assignment) -> None:
        """It was claimed ahead, but the workers turned out to be busy: others may have it."""
        if self._leases.withdraw(assignment):
            self._deliver(assignment, Outcome(HANDED_BACK))

    def _end(self, assignment: Assignment, now: float, error_type: str, message: str) -> None:
        if assignment.started is None:
            return
        ran = now - assignment.started
        outcome = Outcome(TIMED_OUT, ran, error_type=error_type, message=message)
        if assignment.apart is not None:
            ended = assignment.apart.end(outcome)
        elif ended := self._leases.settle(assignment):
            self._leases.leave(assignment, TIMED_OUT)
            self._deliver(assignment, outcome)
            assignment.tell_to_stop()
        if ended:
            log.warning(
                "attempt timed out", job=assignment.id, type=assignment.order.type, error=error_type
            )


def _is_late(assignment: Assignment, now: float) -> bool:
    return assignment.deadline is not None and now > assignment.deadline


def _overdue(assignment: Assignment, now: float) -> tuple[str, str] | None:
    """The error type and message of an attempt that is past its deadline, or silent too long."""
    context = assignment.context
    if _is_late(assignment, now):
        timeout = assignment.order.timeout_ms / 1000
        return "TimedOut", f"the attempt ran longer than its timeout of {timeout:g} s"
    silence = assignment.order.max_silence_ms
    if silence is not None and context is not None and context.silent_for() * 1000 > silence:
        return "Silent", f"the job told no progress for {silence / 1000:g} s, its maxSilence"
    return None

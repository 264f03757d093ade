"""The watchman: ends attempts that are past their deadline, whatever their thread does."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from manager.assignment import Assignment
from manager.leases import Leases
from manager.outcome import TIMED_OUT, Outcome
from manager.pool import ManageWorker

log = structlog.get_logger("capataz.manager")


class Watchman:
    """One tick times out what is overdue: it is recorded, told to stop, and its slot replaced.

    A thread cannot be killed. When more than `most_hung` are left behind, `too_many` is called:
    only a new process gets rid of them.
    """

    def __init__(
        self,
        leases: Leases,
        pool: ManageWorker,
        deliver: Callable[[Assignment, Outcome], None],
        most_hung: int,
    ) -> None:
        self._leases = leases
        self._pool = pool
        self._deliver = deliver
        self._most_hung = most_hung
        self.too_many: Callable[[], None] | None = None

    def tick(self) -> None:
        """Look at every running attempt once."""
        now = time.monotonic()
        for assignment in self._leases.open():
            deadline = assignment.deadline
            if deadline is not None and now > deadline:
                self._time_out(assignment, now)
        if self.too_many is not None and self._pool.hung() > self._most_hung:
            self.too_many()

    def _time_out(self, assignment: Assignment, now: float) -> None:
        if not self._leases.settle(assignment):
            return
        assert assignment.started is not None
        timeout = assignment.order.timeout_ms / 1000
        self._deliver(
            assignment,
            Outcome(
                TIMED_OUT,
                now - assignment.started,
                error_type="TimedOut",
                message=f"the attempt ran longer than its timeout of {timeout:g} s",
            ),
        )
        assignment.tell_to_stop()
        hung = self._pool.abandon(assignment.guid)
        log.warning("attempt timed out", job=assignment.id, thread_left_behind=hung)

"""What this manager holds, and how long it may still believe that it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from manager.assignment import Assignment

# The own work is stopped this part of the stale time before others may take it.
MARGIN = 0.2


class Leases:
    """The assignments in hand: open until they settle, held until their outcome is written.

    Single dictionary operations need no lock: `settle` is one deletion, so of a worker, a deadline
    and a cancel that end the same attempt exactly one wins. `begin` and `withdraw` are one too, so
    what is given back is never run.
    """

    def __init__(self, stale_seconds: float) -> None:
        self.stale_seconds = stale_seconds
        self._trusted = stale_seconds * (1 - MARGIN)
        self._held: dict[str, Assignment] = {}
        self._let_go: set[tuple[str, int]] = set()
        self._open: dict[Assignment, None] = {}
        self._waiting: dict[Assignment, None] = {}
        self._left: dict[Assignment, str] = {}
        self._renewed = time.monotonic()
        self._emptied = threading.Condition()

    def add(self, assignments: Iterable[Assignment]) -> list[Assignment]:
        """Take them into the hand; those that were not in it under the same lease already."""
        added = []
        for assignment in assignments:
            with self._emptied:
                older = self._held.get(assignment.id)
                if older is not None and older.order.lease >= assignment.order.lease:
                    continue
                self._held[assignment.id] = assignment
                self._waiting[assignment] = None
                self._open[assignment] = None
            added.append(assignment)
            if older is not None:  # a newer lease was given out, so this one is lost
                older.tell_to_stop()
        return added

    def begin(self, assignment: Assignment) -> bool:
        """A worker takes it up; False when it is not to be run any more, or others may have it."""
        if self.lapsed():
            return False
        return self._waiting.pop(assignment, self) is None and assignment in self._open

    def withdraw(self, assignment: Assignment) -> bool:
        """End what no worker has taken up; False when one has, or when it has ended."""
        return self._waiting.pop(assignment, self) is None and self.settle(assignment)

    def settle(self, assignment: Assignment) -> bool:
        """End the attempt here; False when something else ended it before."""
        try:
            del self._open[assignment]
        except KeyError:
            return False
        self._waiting.pop(assignment, None)
        return True

    def is_open(self, assignment: Assignment) -> bool:
        return assignment in self._open

    def waits(self, assignment: Assignment) -> bool:
        """Whether no worker has taken it up."""
        return assignment in self._waiting

    def release(self, leases: Iterable[tuple[str, int]]) -> None:
        """Forget orders (id, lease) whose outcome is written, or lost.

        An order that was claimed again meanwhile, under a new lease, stays.
        """
        with self._emptied:
            for order_id, lease in leases:
                assignment = self._held.get(order_id)
                if assignment is not None and assignment.order.lease == lease:
                    del self._held[order_id]
            if not self._held:
                self._emptied.notify_all()

    def let_go(self, leases: Iterable[tuple[str, int]]) -> None:
        """Give up on orders whose outcome could not be written: never to be run on these leases."""
        pairs = list(leases)
        self._let_go.update(pairs)
        self.release(pairs)

    def was_let_go(self, order_id: str, lease: int) -> bool:
        return (order_id, lease) in self._let_go

    def held(self) -> list[Assignment]:
        """What a heartbeat must renew."""
        return list(self._held.values())

    def open(self) -> list[Assignment]:
        """What has not ended: waiting for a worker, or running."""
        return list(self._open)

    def leave(self, assignment: Assignment, why: str) -> None:
        """Its order has ended, but its function may run on; `why` it was told to stop."""
        self._left[assignment] = why

    def left(self) -> list[tuple[Assignment, str]]:
        return list(self._left.items())

    def forget(self, assignment: Assignment) -> None:
        self._left.pop(assignment, None)

    def get(self, order_id: str) -> Assignment | None:
        return self._held.get(order_id)

    def renewed(self, at: float) -> None:
        """All leases were renewed by a heartbeat sent at this moment (monotonic seconds)."""
        self._renewed = at

    def lapsed(self, now: float | None = None) -> bool:
        """Whether the last renewal is so long ago that others may soon take the work."""
        return (now if now is not None else time.monotonic()) - self._renewed > self._trusted

    def wait_empty(self, timeout: float) -> bool:
        """Wait until nothing is held; whether that came within `timeout` seconds."""
        with self._emptied:
            return self._emptied.wait_for(lambda: not self._held, timeout)

"""One claimed order in this manager's hands, from the claim until its outcome is written."""

from __future__ import annotations

import time
from typing import Any, Protocol

from jobs.context import Context
from manager.outcome import HANDED_BACK, Outcome


class Apart(Protocol):
    """An attempt that runs in a process of its own, and so can be ended from any thread."""

    def end(self, outcome: Outcome) -> bool:
        """End it with all that it started, which takes its grace; this becomes its outcome.

        False when it ended by itself before, or something else is ending it.
        """


class Assignment:
    """An order, the context its job sees, and which worker has it since when.

    `order` is the claimed order: its id, type, payload, lease, attempts and limits. `started`,
    `claimed` and `told_on`, when it was told to stop, are on the monotonic clock, None before.
    `apart` is set while a child process
    has it.
    """

    __slots__ = ("apart", "claimed", "context", "order", "started", "told_on", "worker")

    def __init__(self, order: Any) -> None:
        self.order = order
        self.claimed = time.monotonic()
        self.context: Context | None = None
        self.worker: str | None = None
        self.started: float | None = None
        self.told_on: float | None = None
        self.apart: Apart | None = None

    @property
    def id(self) -> str:
        return self.order.id  # type: ignore[no-any-return]

    @property
    def guid(self) -> str:
        """The name of its execution in the pool."""
        return f"{self.order.id}:{self.order.lease}"

    @property
    def told(self) -> bool:
        """Whether it was told to stop."""
        return self.told_on is not None

    @property
    def deadline(self) -> float | None:
        """When the attempt times out (monotonic seconds), None until it has begun."""
        if self.started is None:
            return None
        return self.started + self.order.timeout_ms / 1000  # type: ignore[no-any-return]

    def age_ms(self, at: float | None = None) -> int | None:
        """Milliseconds since the function began, until now or `at` (monotonic); None before."""
        if self.started is None:
            return None
        return int(((time.monotonic() if at is None else at) - self.started) * 1000)

    def tell_to_stop(self) -> None:
        """Set the job's `context.cancelled`; a thread cannot be made to look.

        A child process gets its grace, and is killed with all that it started. Safe twice.
        """
        if self.told_on is None:
            self.told_on = time.monotonic()
        # Read after the flag is set: a run that makes its context later than this sees the flag.
        context, apart = self.context, self.apart
        if context is not None:
            context.cancel()
        if apart is not None:
            apart.end(Outcome(HANDED_BACK))

"""What a running job may ask and tell."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

MAX_MESSAGE = 1000
"""Longest message of a progress report, in characters; what is beyond it is cut."""

_LOGGER = logging.getLogger("capataz.job")
_event_birth = threading.Lock()


class Progress(NamedTuple):
    """How far a job says it is; `at` is the monotonic clock in seconds."""

    percent: float
    message: str
    at: float


class Context:
    """The first argument of every job: who it is, how long it has, and how it reports.

    The job reads `job_id`, `attempt` (from 1), `lease` (only ever grows: a fencing token for work
    that must happen once), `deadline`, `remaining()` and `cancelled`, and calls `wait`, `progress`
    and `log`. Who runs the job calls `cancel`, `take_progress` and `silent_for`. All of it may be
    used from any thread.
    """

    # A context is made for every attempt, so what few jobs use is made when it is first asked for.
    __slots__ = (
        "_cancelled",
        "_deadline",
        "_ends",
        "_event",
        "_log",
        "_progress",
        "_shown",
        "_started",
        "_taken",
        "attempt",
        "job_id",
        "lease",
    )

    def __init__(
        self, job_id: str, attempt: int = 1, lease: int = 1, timeout: float | None = None
    ) -> None:
        """Start an attempt now; `timeout` is in seconds, None is no deadline."""
        self.job_id = job_id
        self.attempt = attempt
        self.lease = lease
        self._started = time.monotonic()
        self._ends = math.inf if timeout is None else self._started + timeout
        self._deadline: datetime | None = None
        self._cancelled = False
        self._shown = False
        self._event: threading.Event | None = None
        self._progress: Progress | None = None
        self._taken: Progress | None = None
        self._log: logging.LoggerAdapter[logging.Logger] | None = None

    @property
    def deadline(self) -> datetime | None:
        """When this attempt times out, in UTC, or None; for arithmetic there is `remaining()`."""
        if self._deadline is None and self._ends != math.inf:
            left = timedelta(seconds=self._ends - time.monotonic())
            self._deadline = datetime.now(UTC) + left
        return self._deadline

    def remaining(self) -> float:
        """Seconds until the deadline, never below 0; infinity when there is none."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether to stop: cancelled, out of time, or no longer the holder of the order.

        A job in a thread is only told, so a long one looks here or waits with `wait`. Clean up and
        raise `jobs.errors.Cancelled`: whatever is returned or raised from then on is discarded.
        """
        if self._cancelled:
            self._shown = True
        return self._cancelled

    @property
    def shown(self) -> bool:
        """Whether the job has been told to stop and has looked: what it makes after is half done.

        For who runs the job.
        """
        return self._shown

    def cancel(self) -> None:
        """Tell the job to stop, and wake it from `wait`. Safe twice."""
        self._cancelled = True
        # Read after the flag is set: a wait that makes its event later than this sees the flag.
        event = self._event
        if event is not None:
            event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds, or until told to stop; return `cancelled`."""
        event = self._event or self._make_event()
        if not self._cancelled:
            event.wait(min(seconds, threading.TIMEOUT_MAX))
        return self.cancelled

    def _make_event(self) -> threading.Event:
        with _event_birth:
            if self._event is None:
                self._event = threading.Event()
            return self._event

    def progress(self, percent: float, message: str = "") -> None:
        """Tell how far the job is, 0 to 100; the latest wins, and it ends the job's silence.

        A message is cut at 1000 characters. Cheap enough to call in a loop: it is stored at most
        once a second. Raises ValueError for anything but a number from 0 to 100.
        """
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            raise ValueError(f"percent is {percent!r}: give a number from 0 to 100")  # noqa: TRY004
        if not 0 <= percent <= 100:
            raise ValueError(f"percent is {percent!r}: give a number from 0 to 100")
        self._progress = Progress(percent, str(message)[:MAX_MESSAGE], time.monotonic())

    def take_progress(self) -> Progress | None:
        """Return the latest progress unless it was taken before; for one caller only."""
        # Compared instead of cleared: clearing could lose a report made in between.
        latest = self._progress
        if latest is self._taken:
            return None
        self._taken = latest
        return latest

    def silent_for(self) -> float:
        """Seconds since the last progress, or since the start when there was none."""
        latest = self._progress
        return time.monotonic() - (latest.at if latest is not None else self._started)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger under `capataz.job` whose records carry `job_id`, `attempt` and `lease`."""
        if self._log is None:
            self._log = _JobLog(
                _LOGGER, {"job_id": self.job_id, "attempt": self.attempt, "lease": self.lease}
            )
        return self._log


# Names that `logging` itself uses and refuses as extra fields: they get an underscore behind them.
_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _JobLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the job's fields to those that the caller gives, which the base class would drop."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        given = {
            f"{name}_" if name in _TAKEN else name: value
            for name, value in (kwargs.get("extra") or {}).items()
        }
        kwargs["extra"] = {**given, **(self.extra or {})}
        return msg, kwargs

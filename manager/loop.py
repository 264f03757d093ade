"""A thread that repeats one step: the shape of the claimer and of the writer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import structlog

from database import DatabaseAway

AWAY_SECONDS = (0.1, 2.0)
FAULT_SECONDS = 1.0
WARN_SECONDS = 30.0

log = structlog.get_logger("capataz.manager")


class Loop:
    """Calls `step` until stopped; its answer is the delay in seconds until the next, 0 for none.

    A database that is away is waited for; any other error is logged and the step tried again, so
    that one bad order or moment never ends the loop.
    """

    def __init__(
        self, name: str, step: Callable[[], float], nudge: Callable[[], None] | None = None
    ) -> None:
        """`nudge` ends a wait inside the step itself when the loop is to stop."""
        self._name = name
        self._step = step
        self._nudge = nudge
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._away = 0.0
        self._warned = -math.inf
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """End the present delay early."""
        if not self._wake.is_set():
            self._wake.set()

    def stop(self, timeout: float = 10.0) -> bool:
        """End after the step under way; whether it did in time. Safe twice, and before start."""
        self._stop.set()
        self._wake.set()
        if self._nudge is not None:
            self._nudge()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            delay = self._guarded()
            if delay > 0:
                self._wake.wait(delay)
            self._wake.clear()

    def _guarded(self) -> float:
        try:
            delay = self._step()
        except DatabaseAway as error:
            if time.monotonic() - self._warned > WARN_SECONDS:
                self._warned = time.monotonic()
                log.warning("database away; trying again until it is back", reason=str(error))
            first, longest = AWAY_SECONDS
            self._away = min(max(2 * self._away, first), longest)
            self._stop.wait(self._away)
            return 0
        except Exception:
            log.exception("a step failed; it will be tried again", loop=self._name)
            self._stop.wait(FAULT_SECONDS)
            return 0
        self._away = 0.0
        self._warned = -math.inf
        return delay

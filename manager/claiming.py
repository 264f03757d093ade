"""The claimer in its loop, and another in its place when it takes nothing any more."""

from __future__ import annotations

import threading
from collections.abc import Callable

from manager.claimer import Claimer
from manager.loop import Loop


class Claiming:
    """Runs a claimer that `make` makes; `rebuild` puts a new one on a new thread in its place."""

    def __init__(self, make: Callable[[], Claimer]) -> None:
        self._make = make
        self._claimer = make()
        self._loop = Loop("claimer", self._claimer.step)
        self._before = (0, 0)
        self._stopped = False
        self._changing = threading.Lock()

    def start(self) -> None:
        self._loop.start()

    def wake(self) -> None:
        """End the present delay early."""
        self._loop.wake()

    def stop(self, timeout: float = 10.0) -> bool:
        """End after the step under way; whether it did within `timeout` seconds."""
        with self._changing:
            self._stopped = True
        if self._loop.stop(timeout):
            return True
        # What its claim under way may still bring is not for a manager that stops.
        self._claimer.retire()
        return False

    def alive(self) -> bool:
        # Not between the end of one loop and the start of the next.
        with self._changing:
            return self._loop.alive()

    def taken(self) -> int:
        """How many orders were claimed so far."""
        return self._before[0] + self._claimer.taken

    def excused(self) -> int:
        """How many steps so far took nothing for a reason that is not the loop's own."""
        return self._before[1] + self._claimer.excused

    def rebuild(self) -> None:
        """Leave the present thread to end when it can, and begin anew. Nothing after `stop`."""
        with self._changing:
            if self._stopped:
                return
            self._claimer.retire()
            self._loop.stop(0)
            self._before = (self.taken(), self.excused())
            self._claimer = self._make()
            self._loop = Loop("claimer", self._claimer.step)
            self._loop.start()

"""Requests that wait for an order to end: parked here, woken by one thread of the web process."""

from __future__ import annotations

import threading
import time

from api.queries import unfinished
from database import Database, DatabaseAway

POLL_SECONDS = 0.015


class Waiter:
    """Parks requests, at most `room` at a time; beyond it a wait ends at once."""

    def __init__(self, database: Database, room: int = 8) -> None:
        self.room = room
        self._database = database
        self._parked: dict[str, list[threading.Event]] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def wait(self, order_id: str, seconds: float) -> bool:
        """Wait until the order has ended (or is gone), at most so long; False with no room."""
        woken = threading.Event()
        with self._changed:
            if not self.take_place():
                return False
            self._parked.setdefault(order_id, []).append(woken)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="waiter", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            woken.wait(seconds)
        finally:
            with self._changed:
                self.give_place()
                parked = self._parked.get(order_id)
                if parked is not None and woken in parked:
                    parked.remove(woken)
                    if not parked:
                        del self._parked[order_id]
        return True

    def take_place(self) -> bool:
        """Take one of the places, for a request that is held for long; False when there is none."""
        with self._changed:
            if self._closing or self._count >= self.room:
                return False
            self._count += 1
            return True

    def give_place(self) -> None:
        """Give back a place that was taken."""
        with self._changed:
            self._count -= 1

    @property
    def released(self) -> bool:
        """Whether nobody may wait any longer."""
        return self._closing

    def release(self) -> None:
        """Answer all that wait, and park nobody from now on. May be called by a signal handler."""
        self._closing = True

    def close(self) -> None:
        """Release all and stop the thread. Safe twice."""
        self.release()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._parked and not self._closing:
                    self._changed.wait(1)
                ids = list(self._parked)
                closing = self._closing
            for order_id in ids if closing else self._ended(ids):
                self._wake(order_id)
            if closing:
                break
            time.sleep(POLL_SECONDS)
        self._database.close()

    def _ended(self, ids: list[str]) -> list[str]:
        try:
            live = unfinished(self._database, ids)
        except DatabaseAway:
            return ids  # each request finds out, and says so
        return [order_id for order_id in ids if order_id not in live]

    def _wake(self, order_id: str) -> None:
        with self._changed:
            for woken in self._parked.pop(order_id, ()):
                woken.set()

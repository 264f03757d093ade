"""How often an address may show credentials that are none."""

from __future__ import annotations

import threading
import time

MOST_FAILURES = 30
WINDOW_SECONDS = 60.0
MOST_ADDRESSES = 10_000


class Throttle:
    """Counts failures by address, each from its first one on for a minute, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, tuple[float, int]] = {}

    def failed(self, address: str) -> float:
        """Count a failure; 0, or the seconds to wait once there were too many."""
        now = time.monotonic()
        with self._lock:
            since, count = self._failures.get(address, (now, 0))
            if now - since >= WINDOW_SECONDS:
                since, count = now, 0
            if address not in self._failures and len(self._failures) >= MOST_ADDRESSES:
                self._forget(now)
            self._failures[address] = since, count + 1
        return since + WINDOW_SECONDS - now if count >= MOST_FAILURES else 0.0

    def _forget(self, now: float) -> None:
        """Make room: what is over first, then whatever is oldest."""
        begun = sorted((since, address) for address, (since, _) in self._failures.items())
        over = sum(now - since >= WINDOW_SECONDS for since, _ in begun)
        for _, address in begun[: max(over, MOST_ADDRESSES // 10)]:
            del self._failures[address]

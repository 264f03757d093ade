"""How many workers were needed lately."""

from __future__ import annotations

from collections import deque


class Demand:
    """The highest load of the last so many seconds, from the highest of each look."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._peaks: deque[tuple[float, int]] = deque()

    def look(self, now: float, peak: int) -> int:
        """The highest load within the time, given the highest since the last look."""
        self._peaks.append((now, peak))
        while self._peaks[0][0] <= now - self._seconds:
            self._peaks.popleft()
        return max(high for _, high in self._peaks)

"""How long each type usually runs: what may be claimed ahead of the workers."""

from __future__ import annotations

SHORT_SECONDS = 0.05
AHEAD_SECONDS = 1.0
AHEAD_ORDERS = 500
WEIGHT = 0.05
LEAST_SECONDS = 1e-6


class Pace:
    """A moving mean of run times by type. Written by one thread, read by another."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def observe(self, kind: str, seconds: float) -> None:
        mean = self._means.get(kind)
        if mean is None:
            # A new dictionary, so that a reader never meets one that grows under it.
            self._means = {**self._means, kind: seconds}
        else:
            self._means[kind] = mean + WEIGHT * (seconds - mean)

    def short(self) -> tuple[str, ...]:
        """The types whose measured mean is below 50 ms."""
        return tuple(kind for kind, mean in self._means.items() if mean < SHORT_SECONDS)

    def ahead(self, workers: int) -> int:
        """How many orders of short types that many workers end within a second; at most 500."""
        means = [mean for mean in self._means.values() if mean < SHORT_SECONDS]
        if not means:
            return 0
        return min(AHEAD_ORDERS, int(workers * AHEAD_SECONDS / max(*means, LEAST_SECONDS)))

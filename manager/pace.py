"""How long each type usually runs: what may be claimed ahead of the workers."""

from __future__ import annotations

SHORT_SECONDS = 0.05
# What is claimed ahead waits for no worker longer than this: then it goes back.
AHEAD_SECONDS = 1.0
# Of work claimed ahead; also how long an order of a higher class waits behind it. Less of it costs
# nothing, since a claim takes a hundredth of that time.
STOCK_SECONDS = 0.2
AHEAD_ORDERS = 500
# The mean rises fast and falls slowly: a long run with others waiting behind it costs more than a
# few that are not claimed ahead.
RISE = 0.2
FALL = 0.05
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
            self._means[kind] = mean + (RISE if seconds > mean else FALL) * (seconds - mean)

    def short(self) -> tuple[str, ...]:
        """The types whose measured mean is below 50 ms."""
        return tuple(kind for kind, mean in self._means.items() if mean < SHORT_SECONDS)

    def ahead(self, workers: int) -> int:
        """How many orders of short types that many workers end in 0.2 s; at most 500."""
        means = [mean for mean in self._means.values() if mean < SHORT_SECONDS]
        if not means:
            return 0
        return min(AHEAD_ORDERS, int(workers * STOCK_SECONDS / max(*means, LEAST_SECONDS)))

"""In which order a claim walks the queues: priorities, turns, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ledger import Claimed, Lane
from models import PRIORITIES

# What has waited longer than this is served first by one claim in ten of its class.
BOUNDS_MS = {PRIORITIES["normal"]: 60_000, PRIORITIES["low"]: 300_000}
ROUND = 10
# So many lanes more than there are now are remembered by what they had.
MOST_KEPT = 1_000
OVERDUE_TURNS = {5: PRIORITIES["normal"], 0: PRIORITIES["low"]}


class Lanes:
    """Whose turn it is among the queues in which orders wait."""

    def __init__(self) -> None:
        self._claims = 0
        # Turns are counted apart for each kind of claim: by all claims together the same queue
        # would come first each time that a class past its bound does.
        self._turns: Counter[int | None] = Counter()
        self._had: dict[tuple[str, int], int] = {}
        self._most = MOST_KEPT
        self._level = dict.fromkeys(PRIORITIES.values(), 0)

    def next(self, waiting: Sequence[str]) -> list[Lane]:
        """The lanes for the next claim from these queues, in order.

        High before normal before low; within a class the queue that had the least goes first. The
        fifth claim of ten first serves what of `normal`, and the tenth what of `low`, is past its
        bound.
        """
        if not waiting:
            return []
        self._most = MOST_KEPT + 2 * len(PRIORITIES) * len(waiting)
        self._claims += 1
        overdue = self._overdue()
        self._turns[overdue] += 1
        turn = self._turns[overdue] % len(waiting)
        queues = [*waiting[turn:], *waiting[:turn]]
        lanes = [
            Lane(queue, priority)
            for priority in PRIORITIES.values()
            for queue in self._by_need(queues, priority)
        ]
        if overdue is None:
            return lanes
        first = self._by_need(queues, overdue)
        return [Lane(queue, overdue, BOUNDS_MS[overdue]) for queue in first] + lanes

    def took(self, orders: Iterable[Claimed]) -> None:
        """Take note of what the last claim brought."""
        starts: dict[int, int] = {}
        for lane, count in Counter((order.queue, order.priority) for order in orders).items():
            priority = lane[1]
            start = max(self._had.get(lane, 0), self._level[priority])
            self._had[lane] = start + count
            starts[priority] = min(start, starts.get(priority, start))
        # Whoever had less than the least that was served just now had nothing waiting: it comes
        # first when it has, but gets nothing for the time before.
        if self._overdue() is None:
            self._level |= starts
        if len(self._had) > self._most:
            self._forget()

    def _overdue(self) -> int | None:
        """The class whose overdue orders the present claim serves first."""
        return OVERDUE_TURNS.get(self._claims % ROUND)

    def _forget(self) -> None:
        """Drop what makes the least difference: queues come and go as long as the process lives."""
        kept = sorted(self._had, key=lambda lane: self._had[lane] - self._level[lane[1]])
        self._had = {lane: self._had[lane] for lane in kept[len(kept) // 2 :]}

    def _by_need(self, queues: Sequence[str], priority: int) -> list[str]:
        """The queue that had the least of this class first; equals as they come."""
        level, had = self._level[priority], self._had
        return sorted(queues, key=lambda queue: max(had.get((queue, priority), 0), level))

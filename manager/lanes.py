"""In which order a claim walks the queues: priorities, turns, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from ledger import Claimed, Lane
from models import PRIORITIES

# What has waited longer than this is served first by one claim in ten of its class.
BOUNDS_MS = {PRIORITIES["normal"]: 60_000, PRIORITIES["low"]: 300_000}
ROUND = 10
OVERDUE_TURNS = {5: PRIORITIES["normal"], 0: PRIORITIES["low"]}


class Lanes:
    """The queues that a manager serves, and whose turn it is."""

    def __init__(self, served: Collection[str] = ()) -> None:
        """`served` are the queues to serve; none given means all that there are."""
        self._served = tuple(served)
        self._queues: tuple[str, ...] = self._served
        self._claims = 0
        # Turns are counted apart for each kind of claim: by all claims together the same queue
        # would come first each time that a class past its bound does.
        self._turns: Counter[int | None] = Counter()
        self._had: dict[tuple[str, int], int] = {}
        self._level = dict.fromkeys(PRIORITIES.values(), 0)

    def know(self, queues: Iterable[str]) -> bool:
        """Take note of the queues there are; whether that brought new ones to serve."""
        known = tuple(sorted(queues)) if not self._served else self._served
        new = bool(set(known) - set(self._queues))
        if known != self._queues:
            self._had = {lane: had for lane, had in self._had.items() if lane[0] in known}
        self._queues = known
        return new

    def next(self) -> list[Lane]:
        """The lanes for the next claim, in order.

        High before normal before low; within a class the queue that had the least goes first. The
        fifth claim of ten first serves what of `normal`, and the tenth what of `low`, is past its
        bound.
        """
        if not self._queues:
            return []
        self._claims += 1
        overdue = self._overdue()
        self._turns[overdue] += 1
        turn = self._turns[overdue] % len(self._queues)
        queues = self._queues[turn:] + self._queues[:turn]
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

    def _overdue(self) -> int | None:
        """The class whose overdue orders the present claim serves first."""
        return OVERDUE_TURNS.get(self._claims % ROUND)

    def _by_need(self, queues: tuple[str, ...], priority: int) -> list[str]:
        """The queue that had the least of this class first; equals as they come."""
        level, had = self._level[priority], self._had
        return sorted(queues, key=lambda queue: max(had.get((queue, priority), 0), level))

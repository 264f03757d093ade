"""In which order a claim walks the queues: priorities, turns, and nobody starves."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ledger import Lane
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

    def know(self, queues: Iterable[str]) -> bool:
        """Take note of the queues there are; whether that brought new ones to serve."""
        known = tuple(sorted(queues)) if not self._served else self._served
        new = bool(set(known) - set(self._queues))
        self._queues = known
        return new

    def next(self) -> list[Lane]:
        """The lanes for the next claim, in order.

        High before normal before low; within a class the queues take turns. The fifth claim of
        ten first serves what of `normal`, and the tenth what of `low`, is past its bound.
        """
        if not self._queues:
            return []
        self._claims += 1
        turn = self._claims % len(self._queues)
        queues = self._queues[turn:] + self._queues[:turn]
        lanes = [Lane(queue, priority) for priority in PRIORITIES.values() for queue in queues]
        overdue = OVERDUE_TURNS.get(self._claims % ROUND)
        if overdue is None:
            return lanes
        # A turn of its own: counted by claims, it would be the same queue's every time.
        turn = self._claims // ROUND % len(self._queues)
        queues = self._queues[turn:] + self._queues[:turn]
        return [Lane(queue, overdue, BOUNDS_MS[overdue]) for queue in queues] + lanes

"""The writer: the only one who reports outcomes, in batches, and who does not give up early."""

from __future__ import annotations

import random
from collections.abc import Callable
from queue import Empty, SimpleQueue

import structlog

from database import Database, DatabaseAway
from ledger import Ending, finish
from manager.assignment import Assignment
from manager.leases import Leases
from manager.outcome import Outcome
from manager.pace import Pace
from manager.retry import decide

BATCH = 500
IDLE_SECONDS = 1.0

log = structlog.get_logger("capataz.manager")


class Writer:
    """Collects outcomes from the workers and writes them down, a batch a transaction.

    While one batch is being written the next one gathers, so batches grow with the load and an
    idle manager writes at once.
    """

    def __init__(
        self,
        database: Database,
        manager: str,
        leases: Leases,
        pace: Pace,
        ring: Callable[[], None],
    ) -> None:
        self._database = database
        self._manager = manager
        self._leases = leases
        self._pace = pace
        self._ring = ring
        self._inbox: SimpleQueue[tuple[Assignment, Outcome] | None] = SimpleQueue()
        self._batch: list[Ending] = []
        self._tried = False
        self._chance = random.Random()  # noqa: S311 (jitter, no secret)

    def put(self, assignment: Assignment, outcome: Outcome) -> None:
        """Take an outcome to be written."""
        self._inbox.put((assignment, outcome))

    def nudge(self) -> None:
        """End the wait for a first outcome."""
        self._inbox.put(None)

    def unwritten(self) -> int:
        """How many outcomes wait to be written."""
        return self._inbox.qsize() + len(self._batch)

    def step(self) -> float:
        """Write one batch, waiting up to a second for its first outcome. Raises `DatabaseAway`."""
        if not self._batch:
            self._batch = self._gather()
            self._tried = False
        if self._batch:
            self._write()
        return 0

    def drain(self) -> None:
        """Write everything that waits. Raises `DatabaseAway`."""
        while self.unwritten():
            self.step()

    def _gather(self) -> list[Ending]:
        batch: list[Ending] = []
        try:
            item = self._inbox.get(timeout=IDLE_SECONDS)
            while item is not None:
                assignment, outcome = item
                batch.append(decide(assignment, outcome, self._chance))
                if outcome.run_seconds is not None:
                    self._pace.observe(assignment.order.type, outcome.run_seconds)
                if len(batch) >= BATCH:
                    return batch
                item = self._inbox.get_nowait()
        except Empty:
            pass
        return batch

    def _write(self) -> None:
        try:
            late = finish(self._database, self._manager, self._batch, repeated=self._tried)
        except DatabaseAway:
            self._tried = True
            if self._leases.lapsed():
                self._let_go()
            raise
        for ending in late:
            log.warning("late result discarded", job=ending.id, lease=ending.lease)
        self._leases.release((ending.id, ending.lease) for ending in self._batch)
        back = any(ending.to == "pending" for ending in self._batch)
        self._batch = []
        if back:
            self._ring()

    def _let_go(self) -> None:
        """The leases may have ended: whoever rescues these orders will run them again."""
        log.error(
            "outcomes could not be written before their leases ended; the orders will run again",
            orders=[ending.id for ending in self._batch],
        )
        self._leases.release((ending.id, ending.lease) for ending in self._batch)
        self._batch = []

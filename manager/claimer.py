"""The claimer: takes orders from their source as fast as the workers take them from it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from database import Database, DatabaseAway
from ledger import Claimed, holdings
from manager.assignment import Assignment
from manager.leases import Leases
from manager.outcome import HANDED_BACK, Outcome
from manager.pace import SHORT_SECONDS, Pace
from manager.pool import ManageWorker, NoFreeSlot, PoolStopped
from manager.transports.source import Source

log = structlog.get_logger("capataz.manager")

UNWRITTEN_SECONDS = 0.01
LAPSED_SECONDS = 0.2


class Claimer:
    """One step claims what the pool can take and hands it over; the delay is until the next."""

    def __init__(
        self,
        database: Database,
        manager: str,
        *,
        pool: ManageWorker,
        leases: Leases,
        source: Source,
        pace: Pace,
        execute: Callable[[Assignment], None],
        deliver: Callable[[Assignment, Outcome], None],
        behind: Callable[[], bool],
        poll_seconds: float,
    ) -> None:
        """`behind` says whether too many outcomes wait to be written to take on more."""
        self._database = database
        self._manager = manager
        self._pool = pool
        self._leases = leases
        self._source = source
        self._pace = pace
        self._execute = execute
        self._deliver = deliver
        self._behind = behind
        self._poll_seconds = poll_seconds
        # The one before it may have left a claim without an owner.
        self._unsure = True
        self._retired = False
        self._handing = threading.Lock()
        self.taken = 0
        self.excused = 0

    def retire(self) -> None:
        """Another takes its place: what a claim under way still brings is handed back."""
        with self._handing:
            self._retired = True

    def step(self) -> float:
        """Claim once. Raises `DatabaseAway`."""
        try:
            return self._step()
        except DatabaseAway:
            self.excused += 1
            raise

    def _step(self) -> float:
        if self._leases.lapsed():
            return self._excuse(LAPSED_SECONDS)
        if self._behind():
            return self._excuse(UNWRITTEN_SECONDS)
        if self._unsure:
            self._adopt()
        free, ahead = self._room()
        if free + ahead <= 0:
            return self._excuse(self._poll_seconds)
        claimed = self._claim(free, ahead)
        self._hand_out(claimed)
        if len(claimed) >= max(free, 1):
            return 0
        # Managers that were started together must not go on polling together.
        return self._poll_seconds * random.uniform(0.9, 1)  # noqa: S311

    def _excuse(self, delay: float) -> float:
        self.excused += 1
        self._source.rest()
        return delay

    def _room(self) -> tuple[int, int]:
        """How many orders may be taken: of any type for free workers, and of short types ahead."""
        load = self._pool.load()
        free = max(0, self._pool.max_workers - load)
        waiting = max(0, load - self._pool.max_workers)
        stock = self._pace.ahead(self._pool.max_workers - self._long_runs())
        ahead = max(0, stock - waiting)
        # Restocked at its half, so that the workers need not wait while that claim is under way.
        self._pool.low_mark = self._pool.max_workers + stock // 2
        return free, (ahead if free or ahead >= max(1, stock - stock // 2) else 0)

    def _long_runs(self) -> int:
        """How many workers are inside a long run: nothing may wait behind those."""
        since = time.monotonic() - SHORT_SECONDS
        return sum(a.started is not None and a.started < since for a in self._leases.open())

    def _claim(self, free: int, ahead: int) -> list[Claimed]:
        self._unsure = True
        claimed = self._source.take(free, ahead)
        self._unsure = False
        return claimed

    def _hand_out(self, claimed: Sequence[Claimed]) -> None:
        with self._handing:
            retired = self._retired
            # Those that the one in its place has adopted meanwhile are not among them.
            added = self._leases.add(Assignment(order) for order in claimed)
        if not retired:
            self.taken += len(claimed)
        for assignment in added:
            if retired:
                self._deliver(assignment, Outcome(HANDED_BACK))
            else:
                self._queue(assignment)

    def _queue(self, assignment: Assignment) -> None:
        try:
            self._pool._queue(assignment.guid, self._execute, {"assignment": assignment})
        except (NoFreeSlot, PoolStopped):  # stopped while the claim was under way
            self._deliver(assignment, Outcome(HANDED_BACK))
        except Exception:
            # None of the others may be left without a worker for the fault of one.
            log.exception("an order could not be given to a worker", job=assignment.id)
            self._deliver(assignment, Outcome(HANDED_BACK))

    def _adopt(self) -> None:
        """Take up orders of a claim whose commit was never answered, as if it had been."""
        # Asked before the record is read: an order that ends meanwhile must not run again.
        held = {(assignment.id, assignment.order.lease) for assignment in self._leases.held()}
        unknown = [
            order
            for order in holdings(self._database, self._manager)
            if (order.id, order.lease) not in held
            and not self._leases.was_let_go(order.id, order.lease)
        ]
        self._unsure = False
        self._hand_out(unknown)

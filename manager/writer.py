"""The writer: the only one who reports outcomes, in batches, and who does not give up early."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

import structlog

from database import Database, DatabaseAway, RowsLocked
from ledger import Ending, Finished, finish, finish_free
from logs import MOST_TOLD
from manager.assignment import Assignment
from manager.leases import Leases
from manager.outcome import FATAL, HANDED_BACK, UNKNOWN_TYPE, Outcome
from manager.pace import AHEAD_ORDERS, Pace
from manager.retry import decide
from models import FAILED, PENDING

BATCH = 500
BATCH_CHARACTERS = 16 * 1024 * 1024
IDLE_SECONDS = 1.0
# What somebody else keeps locked is tried again this often.
LOCKED_SECONDS = 1.0
# While outcomes wait unwritten in this number, or gather to this size, nothing more is taken on.
MOST_UNWRITTEN = 4 * AHEAD_ORDERS
MOST_CHARACTERS = 64 * 1024 * 1024

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
        before_finish: Callable[[Sequence[Ending]], set[tuple[str, int]]] = lambda _part: set(),
    ) -> None:
        """`before_finish` writes what must be there when an outcome is, and answers of which
        orders (id, lease) it could not, for somebody's lock; it may raise `DatabaseAway`."""
        self._before_finish = before_finish
        self._database = database
        self._manager = manager
        self._leases = leases
        self._pace = pace
        self._ring = ring
        self._inbox: SimpleQueue[tuple[Assignment, Outcome, float] | None] = SimpleQueue()
        self._batch: list[Ending] = []
        # Their orders are locked by somebody: kept apart, so that the others need not wait.
        self._locked: list[Ending] = []
        self._locked_due = 0.0
        self._tried = False
        self._most = BATCH
        self._size = 0
        self._sizing = threading.Lock()
        self.handed_back = 0
        self._chance = random.Random()  # noqa: S311 (jitter, no secret)

    def put(self, assignment: Assignment, outcome: Outcome) -> None:
        """Take an outcome to be written."""
        if outcome.result is not None:
            self._grow(len(outcome.result))
        self._inbox.put((assignment, outcome, time.monotonic()))

    def nudge(self) -> None:
        """End the wait for a first outcome."""
        self._inbox.put(None)

    def unwritten(self) -> int:
        """How many outcomes wait to be written."""
        return self._inbox.qsize() + len(self._batch) + len(self._locked)

    def is_behind(self) -> bool:
        """Whether so much waits to be written that nothing more should be run."""
        return self.unwritten() > MOST_UNWRITTEN or self._size > MOST_CHARACTERS

    def step(self) -> float:
        """Write one batch, waiting up to a second for its first outcome. Raises `DatabaseAway`."""
        if self._locked and time.monotonic() >= self._locked_due:
            self._try_locked()
        if not self._batch:
            self._batch = self._gather()
            self._tried = False
        if self._batch:
            self._write(self._batch[: self._most])
        return 0

    def _grow(self, characters: int) -> None:
        with self._sizing:
            self._size += characters

    def _gather(self) -> list[Ending]:
        batch: list[Ending] = []
        size = 0
        try:
            item = self._inbox.get(timeout=IDLE_SECONDS)
            while item is not None:
                assignment, outcome, ended = item
                batch.append(self._decide(assignment, outcome, ended))
                if outcome.run_seconds is not None:
                    self._pace.observe(assignment.order.type, outcome.run_seconds)
                size += len(outcome.result or "")
                self._grow(-len(outcome.result or ""))
                if len(batch) >= BATCH or size > BATCH_CHARACTERS:
                    return batch
                item = self._inbox.get_nowait()
        except Empty:
            pass
        return batch

    def _decide(self, assignment: Assignment, outcome: Outcome, ended: float) -> Ending:
        try:
            return decide(assignment, outcome, self._chance, ended)
        except Exception:
            log.exception("no decision on an outcome; the order fails", job=assignment.id)
            fault = Outcome(FATAL, outcome.run_seconds, error_type="BadOutcome", message="")
            return decide(assignment, fault, self._chance, ended)

    def _write(self, part: list[Ending]) -> None:
        try:
            done = self._finish(part)
        except DatabaseAway:
            # However long it takes: nobody else's record can be harmed, since each outcome counts
            # only under its lease, and until another takes the order it is the only one there is.
            self._tried = True
            # It may be this part that the database cannot take: smaller, and others first.
            self._most = max(1, len(part) // 2)
            self._batch = self._batch[len(part) :] + part
            raise
        self._batch = self._batch[len(part) :]
        self._most = min(BATCH, 2 * self._most)
        if done.locked:
            self._locked += done.locked
            self._locked_due = time.monotonic() + LOCKED_SECONDS
            log.warning("orders are locked by somebody else; trying again", **_told(done.locked))
        self._took(part, done)

    def _try_locked(self) -> None:
        """Try those again that somebody kept locked. Raises `DatabaseAway`."""
        self._locked_due = time.monotonic() + LOCKED_SECONDS
        part = self._locked[:BATCH]
        done = self._finish(part, wait=False)
        self._locked = self._locked[len(part) :] + done.locked
        self._took(part, done)

    def _took(self, part: list[Ending], done: Finished) -> None:
        if done.locked:
            left = set(map(id, done.locked))
            part = [ending for ending in part if id(ending) not in left]
        self._leases.release((ending.id, ending.lease) for ending in part)
        if done.late:
            late = set(map(id, done.late))
            part = [ending for ending in part if id(ending) not in late]
            log.warning("late results discarded", **_told(done.late))
        self._tell(part)
        if any(ending.to == PENDING for ending in part):
            self._ring()

    def _tell(self, part: list[Ending]) -> None:
        """What an operator wants to find in the log; one line a batch, however many failed."""
        back = [ending for ending in part if ending.kind == HANDED_BACK]
        if back:
            self.handed_back += len(back)
            log.info("orders handed back", **_told(back))
        failed = [ending for ending in part if ending.to == FAILED]
        if failed:
            log.warning("orders failed", **_told(failed), errors=_error_types(failed))
        unknown = [ending for ending in part if ending.kind == UNKNOWN_TYPE]
        if unknown:
            log.warning(
                "orders handed back: this manager does not know their type", **_told(unknown)
            )

    def _finish(self, part: list[Ending], *, wait: bool = True) -> Finished:
        """Write a part; what the database refuses in it is found by trying each alone.

        With `wait` an order that somebody has just locked is waited for, for a moment.
        """
        waiting = self._before_finish(part)
        locked = [ending for ending in part if (ending.id, ending.lease) in waiting]
        free = [e for e in part if (e.id, e.lease) not in waiting] if waiting else part
        try:
            done = self._finish_together(free, wait=wait)
        except DatabaseAway:
            raise
        except Exception:
            log.exception("a batch was refused; trying its outcomes one by one")
            # What is written meanwhile is known again, should the database go away in the midst.
            self._tried = True
            done = self._finish_each(free)
        return Finished(done.late, done.locked + locked)

    def _finish_together(self, part: list[Ending], *, wait: bool) -> Finished:
        repeated = self._tried or not wait
        if wait:
            with suppress(RowsLocked):
                return Finished(finish(self._database, self._manager, part, repeated=repeated), [])
        return finish_free(self._database, self._manager, part, repeated=repeated)

    def _finish_each(self, part: list[Ending]) -> Finished:
        done = Finished([], [])
        for ending in part:
            try:
                one = finish_free(self._database, self._manager, [ending], repeated=True)
                done.late.extend(one.late)
                done.locked.extend(one.locked)
            except DatabaseAway:
                raise
            except Exception:
                log.exception("an outcome cannot be written; it will be rescued", job=ending.id)
                self._leases.let_go([(ending.id, ending.lease)])
        return done


def _told(endings: list[Ending]) -> dict[str, object]:
    return {
        "n": len(endings),
        "jobs": [ending.id for ending in endings[:MOST_TOLD]],
        "types": sorted({ending.type for ending in endings}),
    }


def _error_types(endings: list[Ending]) -> list[str]:
    found = {json.loads(ending.error)["type"] for ending in endings if ending.error is not None}
    return sorted(found)[:MOST_TOLD]

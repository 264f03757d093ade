"""The roster: lets the pool breathe, and tells the database who its workers are and what they do.

Once a second it looks. It writes when the picture has changed, every two seconds while anything
is at work, and rarely while nothing is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from database import Database
from ledger.ids import parse_id
from ledger.workers import (
    BUSY,
    DRAINING,
    HUNG,
    IDLE,
    LOST,
    PROCESS,
    STARTING,
    THREAD,
    WorkerNews,
    WorkerReport,
    prune_workers,
    report_workers,
)
from manager import pool as changes
from manager.assignment import Assignment
from manager.gauge import Gauge, Tree, Use
from manager.outcome import CRASHED, ERROR, Outcome
from manager.pool import ManageWorker
from manager.worker import WorkerThread

TICK_SECONDS = 1.0
# A little less than two ticks may take.
BUSY_SECONDS = 1.9
QUIET_SECONDS = 30.0
PRUNE_SECONDS = 60.0
# While the database is away what happens to workers waits, the oldest of it not for ever.
MOST_NEWS = 1_000
# Less than this is the rest that a thread at rest has.
QUIET_PERCENT = 0.5

EVENTS = {
    changes.ADDED: "worker_added",
    changes.REMOVED: "worker_removed",
    changes.REPLACED: "worker_replaced",
    changes.LOST: "worker_lost",
}


class Supervising(Protocol):
    """Who knows what runs below which worker (`Children`)."""

    def trees(self) -> Mapping[str, Tree]: ...


class _View(NamedTuple):
    """What one worker is doing."""

    state: str
    kind: str
    order_id: str | None
    assigned: int


class Roster:
    """What it hears of the pool's threads becomes events; what it sees becomes their rows."""

    def __init__(
        self,
        database: Database,
        manager: str,
        pool: ManageWorker,
        children: Supervising,
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_draining` says whether the manager is being stopped."""
        self._database = database
        self._manager = manager
        self._pool = pool
        self._children = children
        self._is_draining = is_draining
        self._gauge = Gauge()
        self._news: deque[WorkerNews] = deque(maxlen=MOST_NEWS)
        # Threads that were ended by an error, until that is written.
        self._lost: set[str] = set()
        self._done = 0
        self._views: dict[str, _View] = {}
        self._rows: dict[str, WorkerReport] = {}
        self._is_quiet = False
        self._due = 0.0
        self._prune_at = time.monotonic() + PRUNE_SECONDS
        pool.on_change = self._heard

    def watching(
        self, run_apart: Callable[[Assignment], Outcome]
    ) -> Callable[[Assignment], Outcome]:
        """The same, but what its runs use, and whether one loses its process, is taken note of."""

        def run(assignment: Assignment) -> Outcome:
            outcome = run_apart(assignment)
            worker = assignment.worker or ""
            if outcome.usage is not None:
                self._gauge.ran(worker, outcome.usage.cpu_seconds)
            if _lost_its_process(outcome):
                # Its thread serves on, and its next run has another process.
                replaced = EVENTS[changes.REPLACED]
                self._news.append(WorkerNews(replaced, worker, assignment.id, outcome.error_type))
            return outcome

        return run

    def tick(self) -> None:
        """Look, and write if it is time to. Raises `DatabaseAway`."""
        now = time.monotonic()
        self._pool.breathe(now)
        members = self._pool.members()
        ended = self._gauge.ended()
        trees = self._children.trees()
        views = self._look(members, trees)
        done = sum(member.done for member in members)
        if self._is_news(views, done) or now >= self._due:
            used = self._gauge.look(members, trees, ended)
            is_busy = done != self._done or any(view.state != IDLE for view in views.values())
            is_busy = is_busy or any(
                (use.cpu_percent or 0) > QUIET_PERCENT for use in used.values()
            )
            self._write([_report(m, views[m.name], used[m.name]) for m in members])
            self._views, self._done, self._is_quiet = views, done, not is_busy
            self._due = now + (BUSY_SECONDS if is_busy else QUIET_SECONDS)
        if now >= self._prune_at:
            prune_workers(self._database)
            self._prune_at = now + PRUNE_SECONDS

    def reports(self) -> dict[str, WorkerReport]:
        """What each worker did and used when it was last written. From any thread."""
        return self._rows

    def close(self) -> None:
        """Let go of what is open. Safe twice, and no look comes after."""
        self._gauge.close()

    def _is_news(self, views: dict[str, _View], done: int) -> bool:
        return bool(self._news) or views != self._views or (self._is_quiet and done != self._done)

    def _look(self, members: Sequence[WorkerThread], trees: Mapping[str, Tree]) -> dict[str, _View]:
        running = {worker.thread: worker.guid for worker in list(self._pool.workers.values())}
        is_draining = self._is_draining()
        views = {}
        for member in members:
            tree = trees.get(member.name)
            guid = running.get(member)
            if member.hung_in is not None:
                state = HUNG
            elif is_draining:
                state = DRAINING
            elif not member.is_ready or (tree is not None and not tree.is_ready):
                state = STARTING
            else:
                state = IDLE if guid is None else BUSY
            views[member.name] = _View(
                state,
                THREAD if tree is None else PROCESS,
                _order_of(member.hung_in or guid),
                int(member.hung_in is None and guid is not None),
            )
        return views

    def _write(self, rows: Sequence[WorkerReport]) -> None:
        news = list(self._news)
        lost = {one.worker for one in news if one.worker in self._lost}
        last = [row._replace(state=LOST) for name, row in self._rows.items() if name in lost]
        known = {row.id: row for row in rows}
        gone = self._rows.keys() - known.keys() - lost
        report_workers(self._database, self._manager, [*rows, *last], gone, news)
        self._rows = known
        self._lost -= lost
        for _ in news:
            self._news.popleft()

    def _heard(self, change: str, worker: str) -> None:
        """Of the pool: what became of one of its threads."""
        order = None
        if change == changes.REPLACED:
            hung = [one.hung_in for one in self._pool.members() if one.name == worker]
            order = _order_of(hung[0]) if hung else None
        if change == changes.LOST:
            self._lost.add(worker)
        self._news.append(WorkerNews(EVENTS[change], worker, order))


def _report(member: WorkerThread, view: _View, use: Use) -> WorkerReport:
    return WorkerReport(
        member.name,
        view.state,
        view.kind,
        None if use.cpu_percent is None else round(use.cpu_percent, 1),
        round(use.ram_mb, 1),
        view.assigned,
        member.done,
        view.order_id,
    )


def _order_of(guid: str | None) -> str | None:
    """The order whose execution has this name."""
    return parse_id(guid.rpartition(":")[0]) if guid is not None else None


def _lost_its_process(outcome: Outcome) -> bool:
    """Whether the child ended, or was ended over a limit, without our having told it to."""
    return outcome.kind == CRASHED or (outcome.kind == ERROR and outcome.signal is not None)

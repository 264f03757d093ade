"""The children: processes that run orders which must not share a process with others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog

from jobs.context import Context
from manager.assignment import Assignment
from manager.autopsy import last_words
from manager.cell import GRACE_SECONDS, Cell, Report
from manager.feed import OUT
from manager.gauge import Tree
from manager.order_logs import STDERR, STDOUT, OrderLogs, RunLog
from manager.outcome import CRASHED, HANDED_BACK, TIMED_OUT, Outcome
from manager.prints import Heard
from manager.processes import has_subreaper
from manager.verdicts import how_it_ended, judge, memory_mb_of, not_started, outcome_of
from manager.warden import LAPSED

IDLE_SECONDS = 60.0
MOST_RUNS = 10_000
# A child that keeps more than this after a run is not kept itself.
MOST_RESTING_MB = 256
CLOSE_SECONDS = 3.0

log = structlog.get_logger("capataz.manager")


class Run:
    """One attempt in a child, as those see it who may end it (`assignment.Apart`)."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._lock = threading.Lock()
        self._cell: Cell | None = None
        self._over = False
        self.verdict: Outcome | None = None

    def end(self, outcome: Outcome) -> bool:
        with self._lock:
            if self._over or self.verdict is not None:
                return False
            self.verdict = outcome
            if self._cell is not None:
                self._cell.end(with_stack=outcome.kind == TIMED_OUT)
            return True

    def enter(self, cell: Cell) -> bool:
        """From now on this cell is what is ended; False when the end has come already."""
        with self._lock:
            self._cell = cell
            return self.verdict is None

    def leave(self) -> Outcome | None:
        """Nobody can end it any more; why somebody did, if so."""
        with self._lock:
            self._over = True
            return self.verdict

    def tree(self) -> Tree | None:
        """What runs of it, None before and after."""
        with self._lock:
            cell = None if self._over else self._cell
        if cell is None:
            return None
        return Tree(cell.warden, cell.pid is not None, cell.cpu_seconds)

    def kill(self) -> None:
        """End it without grace: it is handed back."""
        self.end(Outcome(HANDED_BACK))
        with self._lock:
            if self._cell is not None and not self._over:
                self._cell.end(0)


class Children:
    """Runs each assignment in a child of its own, for as long as the run lasts.

    A child serves one order after the other, and at most as many are kept as ran at once. It is
    ended after 60 s without work or 10,000 runs, when it rests on more than 256 MiB, and after any
    run that left it in a state that cannot be undone, such as a process or a thread left behind.
    """

    def __init__(self, modules: Sequence[str] = (), logs: OrderLogs | None = None) -> None:
        """`modules` are those with jobs that a child imports beside the built-in ones; `logs` gets
        what jobs say."""
        self._modules = tuple(modules)
        self._logs = logs or OrderLogs()
        self._lock = threading.Condition()
        self._idle: list[Cell] = []
        self._cells: set[Cell] = set()
        self._until: float | None = None
        self._runs: set[Run] = set()
        self._closed = False
        if not has_subreaper():
            log.warning("no subreaper on this system: a job's daemons may outlive it")

    def run(self, assignment: Assignment) -> Outcome:
        """Run it in a child; when this returns, nothing of it is left running."""
        run = Run(assignment.worker or "")
        with self._lock:
            if self._closed:
                return Outcome(HANDED_BACK)
            self._runs.add(run)
        assignment.apart = run
        said = RunLog(self._logs, assignment)
        # Read after it can be ended: who tells it later than this finds the run there.
        if assignment.told:
            run.end(Outcome(HANDED_BACK))
        try:
            return self._run(assignment, run, said)
        except Exception:
            log.exception("a run in a child process was lost", job=assignment.id)
            lost = Outcome(CRASHED, error_type="Crashed", message="the job's process was lost")
            return run.leave() or lost
        finally:
            said.end()
            run.leave()
            with self._lock:
                self._runs.discard(run)
                self._lock.notify_all()

    def trees(self) -> dict[str, Tree]:
        """What runs below each worker that supervises a child."""
        with self._lock:
            runs = list(self._runs)
        return {run.worker: tree for run in runs if (tree := run.tree()) is not None}

    def tick(self) -> None:
        """End children that had no work for long, and bury those that died."""
        before = time.monotonic() - IDLE_SECONDS
        with self._lock:
            old = [c for c in self._idle if c.idle_since < before or not c.is_alive()]
            self._idle = [cell for cell in self._idle if cell not in old]
        self._end_all(old)

    def renewed(self, until: float) -> None:
        """The manager's leases hold until then, on the monotonic clock. Should nothing later be
        said, since it was stopped or cannot renew them, its wardens end every child by themselves:
        others will run the orders."""
        with self._lock:
            self._until = until
            cells = list(self._cells)
        for cell in cells:
            cell.lease(until)

    def close(self, grace: float = GRACE_SECONDS) -> None:
        """End every child, whatever it does; jobs are told, and have so long to end by themselves.

        Safe twice; what is run later is handed back.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            runs = list(self._runs)
        self._end_all(idle)
        if grace > 0:
            for run in runs:
                run.end(Outcome(HANDED_BACK))
            with self._lock:
                self._lock.wait_for(lambda: not self._runs, grace)
        for run in runs:
            run.kill()
        with self._lock:
            self._lock.wait_for(lambda: not self._runs, CLOSE_SECONDS)

    def _run(self, assignment: Assignment, run: Run, said: RunLog) -> Outcome:
        order = assignment.order
        memory_mb = memory_mb_of(order.type)
        try:
            cell = self._take(memory_mb) or self._make()
        except OSError as error:
            return not_started(f"could not be started: {error}")
        try:
            return self._run_in(cell, assignment, run, said, memory_mb)
        except BaseException:
            if cell in self._cells:
                self._end_all([cell])
            raise

    def _run_in(
        self, cell: Cell, assignment: Assignment, run: Run, said: RunLog, memory_mb: int | None
    ) -> Outcome:
        order = assignment.order
        if not run.enter(cell):
            self._end_all([cell])
            return run.leave() or Outcome(HANDED_BACK)
        started = cell.pid is not None or cell.start()
        if not started or run.verdict is not None:
            return self._stillborn(cell, run)
        cell.limit(memory_mb or 0)
        context = Context(order.id, order.attempts, order.lease, order.timeout_ms / 1000)
        assignment.context = context
        assignment.started = time.monotonic()
        spent_before = cell.cpu_seconds
        answer = cell.ask(
            _request(order), lambda message: _hear(message, context, said), _heard_by(said)
        )
        verdict = run.leave()
        if answer is None or verdict is not None:
            cell.end(0)
            report = self._bury(cell)
            seconds = time.monotonic() - assignment.started
            return judge(assignment, answer, verdict, report, seconds, spent_before)
        outcome, spent = outcome_of(answer), str(answer["spent"])
        if not cell.settle():
            spent = "it closed its output"
        self._give_back(cell, spent)
        return outcome

    def _make(self) -> Cell:
        """A new child. Raises `OSError`."""
        cell = Cell(self._modules)
        with self._lock:
            self._cells.add(cell)
            if self._until is not None:
                # Within the lock, so that it never comes after what is said later.
                cell.lease(self._until)
        return cell

    def _bury(self, cell: Cell) -> Report:
        with self._lock:
            self._cells.discard(cell)
        return cell.bury()

    def _end_all(self, cells: list[Cell]) -> None:
        for cell in cells:
            cell.end(0)
        for cell in cells:
            self._bury(cell)

    def _take(self, memory_mb: int | None) -> Cell | None:
        """The idle child that was last at work; for a bounded job, one that leaves it room."""
        dead: list[Cell] = []
        found = None
        with self._lock:
            for cell in reversed(self._idle):
                if memory_mb is not None and cell.rss_mb > memory_mb / 2:
                    continue
                if cell.is_alive():
                    found = cell
                    break
                dead.append(cell)
            self._idle = [cell for cell in self._idle if cell is not found and cell not in dead]
        self._end_all(dead)
        return found

    def _give_back(self, cell: Cell, spent: str) -> None:
        """`spent` says why it must not be used again, if so."""
        if cell.runs >= MOST_RUNS:
            spent = spent or "it has run enough"
        elif cell.rss_mb > MOST_RESTING_MB:
            spent = spent or "it keeps much memory"
        cell.idle_since = time.monotonic()
        with self._lock:
            if not spent and not self._closed:
                self._idle.append(cell)
                return
        log.debug("a child process is not used again", pid=cell.pid, why=spent or "closed")
        self._end_all([cell])

    def _stillborn(self, cell: Cell, run: Run) -> Outcome:
        verdict = run.leave()
        cell.end(0)
        report = self._bury(cell)
        if verdict is not None:
            return verdict
        if report.reason == LAPSED:
            return Outcome(HANDED_BACK)
        how = how_it_ended(report)
        log.error("a child process could not be started", how=how)
        return not_started(f"{how}, before it had loaded its jobs", last_words(report.output))


def _request(order: Any) -> dict[str, Any]:
    return {
        "id": order.id,
        "type": order.type,
        "payload": order.payload,
        "lease": order.lease,
        "attempts": order.attempts,
        "timeout_ms": order.timeout_ms,
    }


def _heard_by(said: RunLog) -> Heard:
    """Who takes what a run prints."""

    def heard(kind: int, lost: int, text: bytes) -> None:
        stream = STDOUT if kind == OUT else STDERR
        said.lose(lost, stream)
        said.write(stream, text)

    return heard


def _hear(message: dict[str, Any], context: Context, said: RunLog) -> None:
    """Take in what a child says during a run. Raises for what no child of ours says."""
    if "progress" in message:
        if message["of"] == context.lease:
            context.progress(*message["progress"])
        return
    said.lose(message["lost"])
    for name, level, at, text, more in message["logs"]:
        head, end, rest = text.partition("\n")
        fields = "".join(f" {field}={value}" for field, value in more.items())
        said.record(level, f"{head}{fields}{end}{rest}", at)
        context.log.log(level, "%s", text, extra=more | {"source": name} if name else more)

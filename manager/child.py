"""A child process: runs one order at a time for the manager that started it, and then the next.

It knows the jobs and nothing else of ours: no database, no settings. It listens to the manager on
one line, and on a pipe of its warden's to be told to stop. Its standard output and error are the
job's. What may end it is not looked at here: that is its warden's duty.
"""

from __future__ import annotations

import contextlib
import contextvars
import decimal
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import exact_json
from jobs import registry
from jobs.context import Context
from jobs.records import Forgiving
from manager.assignment import Assignment
from manager.executor import run
from manager.feed import MARK
from manager.frames import Line
from manager.interpreter_state import InterpreterState
from manager.outcome import FATAL, SUCCEEDED, Outcome
from manager.own_gauge import Gauge
from manager.process_state import ProcessState, keep_stacks

PROGRESS_SECONDS = 0.1
MAX_LOGGED = 4_000
# So many records are passed on within `PROGRESS_SECONDS`, and wait for the next such time.
MOST_RECORDS = 100
OWN_LOGGER = "capataz.job"
_SPARED = (signal.SIGTERM, signal.SIGINT)
_forking = threading.local()
# What a record says besides: all but its own fields, and those that the manager knows.
_NOT_MORE = {*vars(logging.makeLogRecord({})), "message", "asctime", "job_id", "attempt", "lease"}


class Order(NamedTuple):
    """What a child is told of an order."""

    id: str
    type: str
    payload: str
    lease: int
    attempts: int
    timeout_ms: int


class Child:
    """Answers what comes on the line until it ends."""

    def __init__(self, line: Line, stop: int, stacks: int, streams: Sequence[int]) -> None:
        """`stacks` is where stacks go, `streams` are its output and errors, whatever the job does
        to its own."""
        self._line = line
        self._stop = stop
        self._stacks = stacks
        self._streams = streams
        self._pid = os.getpid()
        self._current: Assignment | None = None
        self._told = False
        self._news = threading.Event()
        self._gauge = Gauge()
        self._forwarder = _Forwarder(line, self._news)

    def serve(self) -> None:
        """Run orders until the manager closes the line."""
        for duty in (self._listen, self._tell):
            threading.Thread(target=duty, name=f"capataz-{duty.__name__}", daemon=True).start()
        for name in (None, OWN_LOGGER):
            logger = logging.getLogger(name)
            logger.addHandler(self._forwarder)
            logger.setLevel(logging.INFO)
        logging.setLogRecordFactory(Forgiving)
        # Handlers that a job gives the root must not print what is passed on.
        logger.propagate = False
        os.register_at_fork(
            before=_hold_signals, after_in_parent=_release_signals, after_in_child=self._forsake
        )
        self._process = ProcessState(self._stacks, self._streams)
        self._interpreter = InterpreterState()
        self._mark()
        self._line.send({"ready": self._pid, "cpu": self._gauge.cpu_seconds()})
        with contextlib.suppress(EOFError):
            while True:
                for message in self._line.receive():
                    self._answer(Order(**message))

    def _answer(self, order: Order) -> None:
        self._gauge.start()
        assignment = self._current = Assignment(order)
        # Read after it is current: who is told later than this finds it there.
        if self._told:
            assignment.tell_to_stop()
        outcome = contextvars.copy_context().run(self._run, assignment)
        self._process.disarm()
        self._current = None
        if os.getpid() != self._pid:
            # A fork that the job made came back from it: only the first process may answer.
            os._exit(outcome.kind != SUCCEEDED)
        told = self._is_told()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the job may have closed or replaced it
                stream.flush()
        with contextlib.suppress(OSError):
            self._forwarder.pass_on()
        answer = {
            "usage": self._gauge.usage(),
            "cpu": self._gauge.cpu_seconds(),
            "rss": self._gauge.rss_mb(),
            "told": told,
            "spent": self._restore(),
        }
        self._mark()
        try:
            self._line.send({"outcome": outcome, **answer})
        except exact_json.BadJson:
            fault = Outcome(FATAL, outcome.run_seconds, error_type="BadOutcome", message="")
            self._line.send({"outcome": fault, **answer})
        self._interpreter.renew()

    def _run(self, assignment: Assignment) -> Outcome:
        # A context variable holds it, so that this is the run's own.
        decimal.setcontext(decimal.getcontext().copy())
        return run(assignment, self._make_context)

    def _restore(self) -> str:
        """Make all as it was before the run; why that cannot be, if so."""
        if _is_anything_left():
            return "a process is left"
        try:
            self._process.restore()
            self._interpreter.restore()
        except Exception as error:
            return str(error) or type(error).__name__
        return ""

    def _mark(self) -> None:
        """What is printed from now on is of another run."""
        for stream in self._streams:
            os.set_blocking(stream, True)  # the job may have changed that
            os.write(stream, MARK)

    def _make_context(
        self, job_id: str, attempt: int, lease: int, timeout: float
    ) -> _TellingContext:
        context = _TellingContext(job_id, attempt, lease, timeout)
        context.news = self._news
        return context

    def _listen(self) -> None:
        """Wait to be told to stop; a child that was told runs nothing after."""
        if self._is_told(None):
            self._told = True
            current = self._current
            if current is not None:
                current.tell_to_stop()

    def _is_told(self, milliseconds: int | None = 0) -> bool:
        """Whether the warden has told. It does so before it ends what the job started, and what it
        wrote is left in the pipe: a job that saw a program of its own end by that was told."""
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(milliseconds))

    def _tell(self) -> None:
        """Pass on the latest progress, and records that waited, at most ten times a second."""
        pause = threading.Event()
        while self._news.wait():
            self._news.clear()
            current = self._current
            context = current.context if current is not None else None
            latest = context.take_progress() if context is not None else None
            if current is not None and latest is not None:
                with contextlib.suppress(OSError):
                    told = [latest.percent, latest.message]
                    self._line.send({"progress": told, "of": current.order.lease})
            with contextlib.suppress(OSError):
                self._forwarder.pass_on()
            pause.wait(PROGRESS_SECONDS)

    def _forsake(self) -> None:
        """In a process that the job forked: be no child of the manager's."""
        self._line.forsake()
        # A fork of a fork has let go of it already, and the number may be another file's by now.
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1
        for number in _SPARED:
            signal.signal(number, signal.SIG_DFL)
        _release_signals()


class _TellingContext(Context):
    """A context that wakes whoever passes its progress on."""

    __slots__ = ("news",)
    news: threading.Event

    def progress(self, percent: float, message: str = "") -> None:
        super().progress(percent, message)
        if not self.news.is_set():
            self.news.set()


class _Forwarder(logging.Handler):
    """Sends what a job logs to the manager: at once, unless it is more than anybody reads. Then
    only the latest waits until it can be sent."""

    def __init__(self, line: Line, news: threading.Event) -> None:
        super().__init__()
        self._line = line
        self._news = news
        self._waiting: deque[list[Any]] = deque()
        self._lost = 0
        self._sent = 0
        self._since = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.append(self._told(record))
            now = time.monotonic()
            if now - self._since >= PROGRESS_SECONDS:
                self._since, self._sent = now, 0
            if self._sent < MOST_RECORDS:
                self.pass_on()
                return
            if len(self._waiting) > MOST_RECORDS:
                self._waiting.popleft()
                self._lost += 1
            if not self._news.is_set():
                self._news.set()
        except OSError:
            pass  # in a process that the job forked, nobody listens
        except Exception:
            self.handleError(record)

    def pass_on(self) -> None:
        """Send what waits. Raises `OSError`."""
        with cast(threading.RLock, self.lock):
            if self._waiting:
                records, self._waiting = list(self._waiting), deque()
                lost, self._lost = self._lost, 0
                self._sent += len(records)
                self._line.send({"logs": records, "lost": lost})

    def _told(self, record: logging.LogRecord) -> list[Any]:
        more = {
            name: value if isinstance(value, bool | int | float) else str(value)[:MAX_LOGGED]
            for name, value in vars(record).items()
            if name not in _NOT_MORE
        }
        name = "" if record.name == OWN_LOGGER else record.name
        text = self.format(record)[:MAX_LOGGED]
        return [name, record.levelno, record.created, text, more]


def _is_anything_left() -> bool:
    """Whether a process that the job started, or one that such a one started, still lives.

    They all come to this process when they lose their parents, so looking at its own is enough.
    """
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _spared(_number: int, _frame: Any) -> None:
    """A service manager may tell every process of a service to end; ours decides for itself."""


def _hold_signals() -> None:
    """Before a fork: a signal that comes before the fork has its own handlers must not be lost."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SPARED)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def main(arguments: Sequence[str]) -> None:
    """Be the child: names of modules with jobs, then the descriptors of line, stop and stacks."""
    *modules, line_fd, stop_fd, stack_fd = arguments
    for descriptor in map(int, (line_fd, stop_fd, stack_fd)):
        os.set_inheritable(descriptor, False)
    for number in _SPARED:
        # A handler, not SIG_IGN, which the programs that a job starts would inherit.
        signal.signal(number, _spared)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    streams = (os.dup(1), os.dup(2))
    keep_stacks(int(stack_fd))
    registry.load(modules)
    line = Line(socket.socket(fileno=int(line_fd)))
    Child(line, int(stop_fd), int(stack_fd), streams).serve()

"""What running jobs say, line by line and order by order, until it is written down.

Nothing here waits for anything: a job that says more than can be kept loses the oldest of it, and
how many lines that were is told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import NamedTuple, cast

from manager.assignment import Assignment
from manager.cleaning import MAX_LINE
from manager.outcome import Outcome

STDOUT, STDERR, LOG = "stdout", "stderr", "log"
# Stands where lines were lost; its level is how many.
DROPPED = "dropped"

# For all these, a line counts this much besides the length of its text.
LINE_COST = 32
MOST_OF_AN_ORDER = 256 * 1024
# Of all orders of a manager, should the database be away.
MOST_WAITING = 16 * 1024 * 1024
# When that is passed the oldest makes so much room, so that not every line has to.
ROOM = MOST_WAITING // 8
MOST_LINES = MOST_OF_AN_ORDER // LINE_COST
# Terminal codes may make a line longer than what is left of it.
MOST_RAW = 2 * MAX_LINE
MOST_UNENDED = 64

Key = tuple[str, int]
Text = str | bytes
Runner = Callable[[Assignment], Outcome]


class Line(NamedTuple):
    """One line as it was said: `at` is in ms since 1970, `level` that of `logging`."""

    at: int
    stream: str
    level: int | None
    raw: Text
    is_cut: bool = False


class Taken(NamedTuple):
    """Lines to be written: the first has the number `first`, the next one the next."""

    key: Key
    attempt: int
    first: int
    lines: list[Line]


class _Waiting:
    """The lines of one run that wait to be written. Guarded by the lock of its `OrderLogs`."""

    __slots__ = ("_dropped", "_said", "_unended", "attempt", "cost", "key", "lines")

    def __init__(self, assignment: Assignment) -> None:
        order = assignment.order
        self.key: Key = (order.id, order.lease)
        self.attempt: int = order.attempts
        self.lines: deque[Line] = deque()
        self.cost = 0
        self._unended: dict[tuple[str, int], tuple[Text, bool]] = {}
        self._dropped = 0
        self._said = 0

    @property
    def is_empty(self) -> bool:
        return not self.lines and not self._dropped

    def write(self, stream: str, text: Text, source: int) -> None:
        if len(text) > MOST_OF_AN_ORDER:
            # Only its end can be kept, which begins within a line.
            self._dropped += _line_ends(text[:-MOST_OF_AN_ORDER])
            self._unended.pop((stream, source), None)
            text = text[-MOST_OF_AN_ORDER:]
        *ended, rest = _split(text)
        if ended:
            begun, is_cut = self._unended.pop((stream, source), (text[:0], False))
            ended[0] = _joined(begun, ended[0])
            self._say(int(time.time() * 1000), stream, None, ended, is_cut=is_cut)
        if rest:
            self._begin((stream, source), rest)

    def record(self, level: int, text: str, at: float) -> None:
        kept = text[:MOST_OF_AN_ORDER]
        self._say(int(at * 1000), LOG, level, _split(kept))
        self.lose(_line_ends(text[MOST_OF_AN_ORDER:]))

    def lose(self, count: int, stream: str = "") -> None:
        """Note that so many lines are missing here, with what was begun in this stream."""
        if count:
            for key in [key for key in self._unended if key[0] == stream]:
                del self._unended[key]
            self._add(Line(int(time.time() * 1000), DROPPED, count, ""))

    def end(self) -> None:
        """A line that was begun and never ended is one, too."""
        for key in list(self._unended):
            self._give_up(key)

    def take(self) -> Taken:
        """All lines that wait, in front of them a mark for those that did not wait so long."""
        lines = list(self.lines)
        self.lines.clear()
        if self._dropped:
            at = lines[0].at if lines else int(time.time() * 1000)
            lines.insert(0, Line(at, DROPPED, self._dropped, ""))
            self._dropped = 0
        first = self._said + 1
        self._said += len(lines)
        self.cost = 0
        return Taken(self.key, self.attempt, first, lines)

    def drop(self) -> None:
        while self.lines:
            self._drop_oldest()

    def _say(
        self, at: int, stream: str, level: int | None, lines: list[Text], *, is_cut: bool = False
    ) -> None:
        if len(lines) > MOST_LINES:
            self._dropped += len(lines) - MOST_LINES
            lines = lines[-MOST_LINES:]
            is_cut = False
        for raw in lines:
            self._add(Line(at, stream, level, raw[:MOST_RAW], is_cut or len(raw) > MOST_RAW))
            is_cut = False

    def _add(self, line: Line) -> None:
        self.lines.append(line)
        self.cost += _cost(line)
        while self.cost > MOST_OF_AN_ORDER:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self.lines.popleft()
        self.cost -= _cost(oldest)
        self._dropped += cast(int, oldest.level) if oldest.stream == DROPPED else 1

    def _begin(self, key: tuple[str, int], rest: Text) -> None:
        begun, is_cut = self._unended.get(key, (rest[:0], False))
        raw = _joined(begun, rest)
        self._unended[key] = (raw[:MOST_RAW], is_cut or len(raw) > MOST_RAW)
        if len(self._unended) > MOST_UNENDED:
            self._give_up(next(iter(self._unended)))

    def _give_up(self, key: tuple[str, int]) -> None:
        raw, is_cut = self._unended.pop(key)
        self._say(int(time.time() * 1000), key[0], None, [raw], is_cut=is_cut)


class RunLog:
    """What one run of an order says. Any thread may say it."""

    # One is made for every run, so what only some need is made with the first line.
    __slots__ = ("_assignment", "_is_over", "_logs", "_waiting")

    def __init__(self, logs: OrderLogs, assignment: Assignment) -> None:
        self._logs = logs
        self._assignment = assignment
        self._waiting: _Waiting | None = None
        self._is_over = False

    def write(self, stream: str, text: Text, source: int = 0) -> None:
        """Take what was written to a stream, in whatever pieces: what ends with a line end is a
        line. Pieces from different sources, such as threads, do not mix within a line."""
        with self._logs.lock:
            if text and not self._is_over:
                self._logs.change(self._mine(), lambda waiting: waiting.write(stream, text, source))

    def record(self, level: int, text: str, at: float) -> None:
        """Take what was logged at this time (seconds since 1970)."""
        with self._logs.lock:
            if not self._is_over:
                self._logs.change(self._mine(), lambda waiting: waiting.record(level, text, at))

    def lose(self, count: int, stream: str = "") -> None:
        """Note that so many lines were lost on their way, first the one begun in this stream."""
        with self._logs.lock:
            if count and not self._is_over:
                self._logs.change(self._mine(), lambda waiting: waiting.lose(count, stream))

    def end(self) -> None:
        """The run is over: nothing that is said later counts. Safe twice."""
        self._is_over = True
        if self._waiting is not None:
            with self._logs.lock:
                self._logs.change(self._waiting, _Waiting.end)

    def _mine(self) -> _Waiting:
        if self._waiting is None:
            self._waiting = _Waiting(self._assignment)
        return self._waiting


RUNNING: ContextVar[RunLog | None] = ContextVar("capataz_run", default=None)
"""The run that the calling thread or task works for, if it does for one."""


class OrderLogs:
    """The lines of all runs of a manager that wait to be written."""

    def __init__(self) -> None:
        # Of the kind that one thread may take twice: what is said may be said by a finaliser, in
        # the midst of anything.
        self.lock = threading.RLock()
        self._waiting: dict[Key, _Waiting] = {}
        self._cost = 0

    def listening(self, runner: Runner) -> Runner:
        """The same runner, heard: what is printed and logged in its context is kept."""

        def run(assignment: Assignment) -> Outcome:
            log = RunLog(self, assignment)
            token = RUNNING.set(log)
            try:
                return runner(assignment)
            finally:
                RUNNING.reset(token)
                log.end()

        return run

    def change(self, waiting: _Waiting, how: Callable[[_Waiting], None]) -> None:
        """Do this with the lines of a run; whoever calls has the lock."""
        before = waiting.cost
        how(waiting)
        self._cost += waiting.cost - before
        if not waiting.is_empty:
            self._waiting[waiting.key] = waiting
        if self._cost > MOST_WAITING:
            self._make_room()

    def has_waiting(self) -> bool:
        """Whether any lines wait to be written."""
        return bool(self._waiting)

    def waiting(self) -> list[Key]:
        """The runs of which lines wait to be written, those first that wait longest."""
        with self.lock:
            return list(self._waiting)

    def of(self, keys: Iterable[Key]) -> list[Key]:
        """Those of these runs of which lines wait to be written."""
        return [key for key in keys if key in self._waiting]

    def take(self, key: Key) -> Taken | None:
        """The lines of this run that wait to be written: they wait no more."""
        with self.lock:
            waiting = self._waiting.pop(key, None)
            if waiting is None:
                return None
            self._cost -= waiting.cost
            return waiting.take()

    def _make_room(self) -> None:
        for waiting in self._waiting.values():
            if self._cost <= MOST_WAITING - ROOM:
                return
            self._cost -= waiting.cost
            waiting.drop()


def _cost(line: Line) -> int:
    return len(line.raw) + LINE_COST


def _line_ends(text: Text) -> int:
    return text.count("\n") if isinstance(text, str) else text.count(b"\n")


def _split(text: Text) -> list[Text]:
    return cast(list[Text], text.split("\n") if isinstance(text, str) else text.split(b"\n"))


def _joined(begun: Text, rest: Text) -> Text:
    """No longer than it need be to tell that it is too long."""
    return begun + rest[: MOST_RAW + 1] if begun else rest  # type: ignore[operator]

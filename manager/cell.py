"""A child process with its warden, as the manager's thread sees it that drives them."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import forks
from jobs import outbound
from manager.frames import BadFrame, Line
from manager.prints import Heard, Prints
from manager.processes import end_marked
from manager.shortage import UNKNOWN

GRACE_SECONDS = 2.0
# A child that takes longer to load its modules, or to take a request, is broken.
START_SECONDS = 60.0
# So long after its grace everything below a warden is gone, unless the kernel holds on to it.
LIMIT_SECONDS = 10.0
MAX_MESSAGE = 8 * 1024 * 1024
LOOK_SECONDS = 1.0
# Tells what a child started when its warden cannot; no setting, so that a job may start us anew.
MARK = "_CAPATAZ_CELL"
MARKED_SECONDS = 1.0
# A warden that was set free again ends within moments, on a busy machine within seconds; one that
# does not is reaped when the next child is started.
REAP_SECONDS = 10.0

# A warden finds us and the standard library, a child what the manager finds.
_WARDEN = (
    "import sys; sys.path.append(sys.argv[1]); from manager.warden import main; main(sys.argv[2:])"
)
_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from manager.child import main; main(sys.argv[2:])"
)
_ROOT = Path(__file__).resolve().parents[1]


class Report(NamedTuple):
    """What a warden says at the end: `status` is the child's wait status, None when not known,
    `shortage` whether the system was short of memory. And why we ended it, if for a `fault`."""

    reason: str = "lost"
    status: int | None = None
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    used_mb: int = 0
    output: bytes = b""
    stack: bytes = b""
    shortage: str = UNKNOWN
    fault: str = ""


class Cell:
    """Started by its making. All but `end` and `lease` is for one thread at a time."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Start a child that loads these modules. Raises `OSError` when nothing can be started."""
        control, theirs = _pair()
        line, its_line = _pair()
        feed, its_feed = _pair()
        self._control = control
        passed = [end.fileno() for end in (theirs, its_line, its_feed)]
        mark = os.urandom(16).hex()
        self._mark = f"{MARK}={mark}".encode()
        with _closing(theirs), _closing(its_line), _closing(its_feed):
            try:
                self._warden = subprocess.Popen(  # noqa: S603 (our own program)
                    [
                        *(sys.executable, "-I", "-S", "-B", "-c", _WARDEN, str(_ROOT)),
                        ",".join(map(str, (*passed, os.getpid()))),
                        *(sys.executable, "-u", "-c", _CHILD, json.dumps(sys.path), *modules),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, **outbound.environment(), MARK: mark},
                    pass_fds=passed,
                    start_new_session=True,
                )
            except OSError:
                for end in (control, line, feed):
                    _close(end)
                raise
        line.settimeout(START_SECONDS)
        self._socket = line
        self._line = Line(line, MAX_MESSAGE)
        self._poll = select.poll()
        self._feed = feed
        self._prints = Prints(feed, control)
        for end in (line, control, feed):
            self._poll.register(end, select.POLLIN)
        self._limit: float | None = None
        self._memory_mb = 0
        self._fault = ""
        self.pid: int | None = None
        self.runs = 0
        self.rss_mb = 0.0
        self.cpu_seconds = 0.0
        self.idle_since = 0.0

    @property
    def warden(self) -> int:
        """The process id of its warden."""
        return self._warden.pid

    def start(self) -> bool:
        """Wait until the child has loaded its modules; whether it has."""
        ready = self._next("ready", lambda _message: None, time.monotonic() + START_SECONDS)
        if ready is None or not self.settle():
            return False
        self.pid, self.cpu_seconds = ready["ready"], ready["cpu"]
        return True

    def is_alive(self) -> bool:
        """Whether the child, idle, is there still."""
        return not [fd for fd, _ in self._poll.poll(0) if fd == self._control.fileno()]

    def limit(self, memory_mb: int) -> None:
        """Bound the memory of the child and all below it, in MiB; 0 for no bound."""
        if memory_mb != self._memory_mb:
            self._memory_mb = memory_mb
            self._order(f"limit {memory_mb}\n")

    def lease(self, until: float) -> None:
        """Say until when, on the monotonic clock, the manager's leases hold; from any thread.

        When nothing later is said by then the warden ends the child and all below it.
        """
        self._order(f"lease {until:.3f}\n")

    def ask(
        self,
        request: dict[str, Any],
        told: Callable[[dict[str, Any]], None],
        heard: Heard | None = None,
    ) -> dict[str, Any] | None:
        """Have the child run an order; its answer, None when it ended without one.

        What it says meanwhile goes to `told`, what is printed to `heard`: until `settle`, or until
        it is buried.
        """
        self.runs += 1
        self._prints.begin(heard)
        try:
            self._line.send(request)
        except OSError:
            self._condemn("it took no order")
        answer = self._next("outcome", told)
        if answer is not None:
            self.rss_mb, self.cpu_seconds = answer["rss"], answer["cpu"]
        return answer

    def settle(self) -> bool:
        """Wait until all has come that was printed in the run; False when it cannot be told from
        what the next one would print."""
        return self._prints.settle()

    def end(self, grace: float = GRACE_SECONDS, *, with_stack: bool = False) -> None:
        """Begin to end the child and all below it; from any thread, as often as need be.

        With a grace the job is told and what it started gets SIGTERM; after so many seconds all
        of it gets SIGKILL. `with_stack`: before, the child is made to write where it is.
        """
        limit = time.monotonic() + grace + LIMIT_SECONDS
        self._limit = limit if self._limit is None else min(self._limit, limit)
        self._order(f"end {round(grace * 1000)} {int(with_stack)}\n")
        self._wake()

    def bury(self) -> Report:
        """Wait until nothing is left of it, which must have been begun; what its warden says.

        Should the kernel hold on to a process for long, the reason is `stuck`: the warden goes on
        trying.
        """
        if self._limit is None:
            self._limit = time.monotonic() + LIMIT_SECONDS
        data = bytearray()
        reason = "lost"
        while self._control.fileno() >= 0:
            if self._prints.wait(LOOK_SECONDS):
                try:
                    chunk = self._control.recv(65536)
                except OSError:
                    break
                if not chunk:
                    break
                data += chunk
            elif time.monotonic() > self._limit:
                reason = "stuck"
                break
        self._prints.listen()
        self._close()
        if reason != "stuck":
            self._warden.wait()
        report = _parse(bytes(data))
        if report is None:
            self._end_without_warden()
        return (report or Report(reason))._replace(fault=self._fault)

    def _next(
        self, word: str, told: Callable[[dict[str, Any]], None], until: float | None = None
    ) -> dict[str, Any] | None:
        """The first message with this word, None when the child has ended before."""
        while True:
            found = {descriptor for descriptor, _ in self._poll.poll(LOOK_SECONDS * 1000)}
            if self._prints.fileno() in found and not self._prints.listen():
                self._poll.unregister(self._feed)
            if self._line.fileno() in found:
                # Before anything else: a child may have ended after its answer.
                try:
                    for message in self._line.receive():
                        if word in message:
                            return message  # type: ignore[no-any-return]
                        told(message)
                except (EOFError, OSError):
                    self._poll.unregister(self._line)
                except (BadFrame, TypeError, KeyError, ValueError):
                    self._poll.unregister(self._line)
                    self._condemn("it sent what is no message")
            elif self._control.fileno() in found:
                return None
            now = time.monotonic()
            if until is not None and now > until:
                self._condemn(f"it was not ready within {START_SECONDS:g} s")
                until = None
            if self._limit is not None and now > self._limit:
                return None

    def _condemn(self, fault: str) -> None:
        """End it for what it did."""
        self._fault = self._fault or fault
        self.end(0)

    def _order(self, text: str) -> None:
        # Never waited for: a warden that is stopped reads nothing.
        with suppress(OSError):
            self._control.send(text.encode(), socket.MSG_DONTWAIT)

    def _end_without_warden(self) -> None:
        """Somebody killed the warden, or keeps it stopped. When it dies the kernel ends the child;
        what is in the child's group, or bears its mark, is within reach."""
        if self.pid is not None:
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        end_marked(self._mark, self.warden, MARKED_SECONDS)
        self._wake()
        with suppress(subprocess.TimeoutExpired):
            self._warden.wait(REAP_SECONDS)

    def _wake(self) -> None:
        """The job may have stopped its warden."""
        with suppress(OSError):
            self._warden.send_signal(signal.SIGCONT)

    def _close(self) -> None:
        for end in (self._control, self._socket, self._feed):
            _close(end)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection, kept from what a job in a thread forks off: it would outlive us,
    and so would the connection."""
    ends = socket.socketpair()
    for end in ends:
        forks.keep(end.fileno())
    return ends


def _close(end: socket.socket) -> None:
    if end.fileno() >= 0:
        forks.forget(end.fileno())
    end.close()


@contextmanager
def _closing(end: socket.socket) -> Iterator[None]:
    try:
        yield
    finally:
        _close(end)


def _parse(data: bytes) -> Report | None:
    head, _, rest = data.partition(b"\n")
    words = head.decode(errors="replace").split()
    if len(words) != 8:
        return None
    reason, status, cpu, peak, used, shortage, output, _stack = words
    split = int(output)
    return Report(
        reason,
        None if status == "None" else int(status),
        float(cpu),
        int(peak) / 1024,
        int(used),
        rest[:split],
        rest[split:],
        shortage,
    )

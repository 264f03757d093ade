"""What the kernel holds of a child process that a job may change: made again as it was.

Everything here is done after every run, so it costs a few microseconds when nothing was changed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import stat
import threading
import time
from _signal import getsignal  # type: ignore[import-not-found]  # `signal`'s takes 20 times as long
from collections.abc import Sequence
from typing import NamedTuple

from manager.warden import STACK_SIGNAL

# A connection that a module keeps for the next run is welcome; so many are a leak.
MOST_SOCKETS = 64
# A thread that was waited for may be seen for a moment more.
THREAD_SECONDS = 0.05
_PAUSE_SECONDS = 0.0005
_TIMERS = tuple(map(int, (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)))
_LIMITS = sorted({getattr(resource, n) for n in dir(resource) if n.startswith("RLIMIT_")})
_SIGNALS = sorted(map(int, signal.valid_signals()))
_STATUS_BYTES = 16 * 1024


def keep_stacks(sink: int) -> None:
    """Write stacks where a fault ends this process, and when its warden asks for them."""
    faulthandler.enable(sink, all_threads=True)
    faulthandler.register(STACK_SIGNAL, sink, all_threads=True, chain=False)


class Spent(Exception):
    """The process cannot be made again as it was; the text says why."""


class _Status(NamedTuple):
    """Of the main thread: its signals; who it is, what it may and where it runs. And how many
    threads there are. `is_known` says whether the system tells the first two."""

    is_known: bool
    signals: bytes
    rights: bytes
    threads: int


class ProcessState:
    """How this process was when this was made."""

    def __init__(self, stacks: int, streams: Sequence[int]) -> None:
        """`stacks` is where stacks are written to; `streams` lead where the standard output and
        errors shall."""
        self._stacks = stacks
        self._standard = (_open(os.devnull, os.O_RDONLY), *streams)
        self._folder = _open(".", getattr(os, "O_PATH", os.O_RDONLY))
        self._root = _identity("/")
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._limits = [(limit, resource.getrlimit(limit)) for limit in _LIMITS]
        self._priority = os.getpriority(os.PRIO_PROCESS, 0)
        self._schedule = _schedule()
        self._handlers = [getsignal(number) for number in _SIGNALS]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._status_file = _open("/proc/self/status", os.O_RDONLY)
        self._timers_file = _open("/proc/self/timers", os.O_RDONLY)
        self._list = _open("/proc/self/fd", os.O_RDONLY)
        self._before = self._status()
        self._threads = self._before.threads
        self._open = {name for name in self._listed() if _kind(name) is not None}
        self._count = self._counted()

    def disarm(self) -> None:
        """Stop every clock that would end the next run."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()

    def restore(self) -> None:
        """Make all as it was. Raises `Spent`, `OSError`, `ValueError` where that cannot be."""
        self.disarm()
        signal.set_wakeup_fd(-1)
        status = self._restore_signals()
        if status.rights != self._before.rights:
            raise Spent("its user, groups, rights or processors are others")
        self._look_at_threads(status)
        for number, kept in enumerate(self._standard):
            os.dup2(kept, number)
        os.umask(self._umask)
        if self._folder >= 0:
            os.fchdir(self._folder)
        if _identity("/") != self._root:
            raise Spent("its root folder is another")
        for limit, pair in self._limits:
            if resource.getrlimit(limit) != pair:
                resource.setrlimit(limit, pair)
        if os.getpriority(os.PRIO_PROCESS, 0) != self._priority:
            os.setpriority(os.PRIO_PROCESS, 0, self._priority)
        if _schedule() != self._schedule:
            raise Spent("its scheduling is another")
        if self._timers_file >= 0 and os.pread(self._timers_file, 1, 0):
            raise Spent("a timer runs")
        self._look_at_descriptors()

    def _restore_signals(self) -> _Status:
        if [getsignal(number) for number in _SIGNALS] != self._handlers:
            for number, handler in zip(_SIGNALS, self._handlers, strict=True):
                if getsignal(number) != handler:
                    signal.signal(number, handler)
            # Those of faults and stacks are C's, and were lost if they were among these.
            faulthandler.disable()
            faulthandler.unregister(STACK_SIGNAL)
            keep_stacks(self._stacks)
        faulthandler.enable(self._stacks, all_threads=True)
        status = self._status()
        if status.is_known and status.signals == self._before.signals:
            return status
        keep_stacks(self._stacks)
        if signal.sigpending():
            raise Spent("a signal waits")
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        status = self._status()
        if status.signals != self._before.signals:
            raise Spent("a signal is handled by other code than Python's")
        return status

    def _look_at_threads(self, status: _Status) -> None:
        until = time.monotonic() + THREAD_SECONDS
        while status.threads > self._threads:
            if time.monotonic() > until:
                raise Spent("a thread is left")
            time.sleep(_PAUSE_SECONDS)
            status = self._status()
        self._threads = status.threads

    def _status(self) -> _Status:
        if self._status_file < 0:
            return _Status(False, b"", b"", threading.active_count())
        text = os.pread(self._status_file, _STATUS_BYTES, 0)
        uid, groups = text.index(b"\nUid:"), text.index(b"\nGroups:")
        threads, signals = text.index(b"\nThreads:"), text.index(b"\nSigPnd:")
        rights, end = text.index(b"\nCapInh:"), text.index(b"\nvoluntary_ctxt")
        return _Status(
            True,
            text[signals:rights],
            text[uid : text.index(b"\nFDSize:", uid)]
            + text[groups : text.index(b"\n", groups + 1)]
            + text[rights:end],
            int(text[threads + 9 : text.index(b"\n", threads + 1)]),
        )

    def _listed(self) -> list[str]:
        """The open descriptors, and one that was open while they were listed."""
        return os.listdir(self._list) if self._list >= 0 else []

    def _counted(self) -> int:
        """How many descriptors are open; 0 where the system does not say."""
        return os.fstat(self._list).st_size if self._list >= 0 else 0

    def _look_at_descriptors(self) -> None:
        if self._count and self._counted() == self._count:
            return  # to list them takes ten times as long
        found = self._listed()
        if not self._open.issubset(found):
            raise Spent("what was open before is closed")
        sockets = 0
        for name in found:
            if name in self._open or (kind := _kind(name)) is None:
                continue
            if kind != stat.S_IFSOCK:
                raise Spent("a file or pipe is left open")
            sockets += 1
        if sockets > MOST_SOCKETS:
            raise Spent("many connections are left open")


def _kind(descriptor: str) -> int | None:
    """What kind of file it is, None when it is not open."""
    try:
        return stat.S_IFMT(os.fstat(int(descriptor)).st_mode)
    except OSError:
        return None


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _schedule() -> int:
    with contextlib.suppress(AttributeError):
        return os.sched_getscheduler(0)
    return 0


def _open(path: str, flags: int) -> int:
    """A descriptor of it, -1 where the system has no such thing."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return -1

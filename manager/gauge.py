"""What each worker uses of processor and memory, as the kernel tells it.

A thread's processor time is its own; its memory is the manager's, which all threads share. A
worker that supervises a child process uses what everything below its warden uses, too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import psutil

from manager.processes import below, share_kib
from manager.worker import WorkerThread

# A count that went back, since a look missed something, is back at the next look or never.
MOST_DIPS = 2
# Over a shorter time than this a share of a core says nothing.
LEAST_SECONDS = 0.1
MIB = 2**20
IS_LINUX = sys.platform == "linux"


class Tree(NamedTuple):
    """What runs below a worker: its warden's process id, and whether the child has loaded its jobs.

    `spent` is what the child had used of the processor, in seconds, before the present run; what it
    uses to load its jobs is not the run's.
    """

    warden: int
    is_ready: bool
    spent: float


class Use(NamedTuple):
    """Percent of one core since the last look, None where the system does not say; and MiB."""

    cpu_percent: float | None
    ram_mb: float


class Gauge:
    """Looks at the pool's threads and at what runs below them. For one thread, but for `ran`."""

    def __init__(self) -> None:
        self._clocks: KernelClocks | PortableClocks
        self._clocks = KernelClocks() if KernelClocks.work() else PortableClocks()
        self._meters: dict[str, _Meter] = {}
        # Seconds of runs in child processes that have ended.
        self._ended: dict[str, float] = {}
        self._me = psutil.Process()

    def ended(self) -> dict[str, float]:
        """Processor seconds of the runs in child processes that have ended, by worker."""
        return dict(self._ended)

    def look(
        self,
        threads: Iterable[WorkerThread],
        trees: Mapping[str, Tree],
        ended: Mapping[str, float],
    ) -> dict[str, Use]:
        """What each of these uses, by name; `trees` says what runs below whom.

        `ended` must have been asked for before `trees`, so that no run is in both. Threads that
        are not among these are forgotten.
        """
        shared = self._me.memory_info().rss / MIB
        meters, used = {}, {}
        for thread in threads:
            meter = meters[thread.name] = self._meters.get(thread.name) or _Meter(thread.made)
            tree = trees.get(thread.name)
            processes = _all_below(tree.warden) if tree is not None else []
            at = time.monotonic()
            seconds = self._seconds(thread, tree, processes, ended.get(thread.name, 0.0))
            ram = shared if tree is None else _ram_mb([tree.warden, *processes])
            used[thread.name] = Use(meter.percent(at, seconds), ram)
        for name in self._meters.keys() - meters.keys():
            self._ended.pop(name, None)
        self._meters = meters
        self._clocks.forget_others(meters)
        return used

    def ran(self, worker: str, cpu_seconds: float) -> None:
        """A run in a child process has ended, and used so much. From the worker's own thread."""
        self._ended[worker] = self._ended.get(worker, 0.0) + cpu_seconds

    def close(self) -> None:
        """Let go of what is open. Safe twice."""
        self._clocks.forget_others(())

    def _seconds(
        self, thread: WorkerThread, tree: Tree | None, processes: list[int], ended: float
    ) -> float | None:
        """Processor time of the thread and of all runs that it had, since it was made."""
        own = self._clocks.seconds(thread)
        if tree is None:
            return None if own is None else own + ended
        now = sum(map(_cpu_seconds, processes)) - tree.spent if tree.is_ready else 0.0
        return (own or 0.0) + ended + max(0.0, now)


class _Meter:
    """Turns a growing count of seconds into percent of the time that passed."""

    def __init__(self, made: float) -> None:
        self._at = made
        self._seconds = 0.0
        self._percent: float | None = 0.0
        self._dips = 0

    def percent(self, at: float, seconds: float | None) -> float | None:
        """The share since the last look, given the count at this moment (monotonic seconds)."""
        passed = at - self._at
        if passed < LEAST_SECONDS:
            return self._percent
        self._at = at
        if seconds is None:
            self._percent = None
            return None
        self._percent = max(0.0, seconds - self._seconds) / passed * 100
        self._dips = self._dips + 1 if seconds < self._seconds else 0
        if not 0 < self._dips < MOST_DIPS:
            self._seconds = seconds
        return self._percent


class KernelClocks:
    """The kernel's own count for each thread, to the nanosecond, from files that are kept open:
    one call each, and none is ever another thread's that came to the same number."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    @staticmethod
    def work() -> bool:
        """Whether this system counts so."""
        try:
            with open("/proc/thread-self/schedstat", "rb") as file:
                return int(file.read().split()[0]) > 0
        except (OSError, ValueError, IndexError):
            return False

    def seconds(self, thread: WorkerThread) -> float | None:
        """The processor time of a thread, None when it has ended."""
        try:
            file = self._files.get(thread.name)
            if file is None:
                path = f"/proc/self/task/{thread.native_id}/schedstat"
                file = self._files[thread.name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return int(os.pread(file, 100, 0).split()[0]) / 1e9
        except OSError:
            return None

    def forget_others(self, names: Iterable[str]) -> None:
        """Close the files of threads that are not among these."""
        for name in self._files.keys() - set(names):
            os.close(self._files.pop(name))


class PortableClocks:
    """The same where the kernel has no such files, as coarsely as it may be."""

    def __init__(self) -> None:
        self._me = psutil.Process()

    def seconds(self, thread: WorkerThread) -> float | None:
        """The processor time of a thread, None when it has ended or nobody knows."""
        with suppress(psutil.Error, NotImplementedError):
            for one in self._me.threads():
                if one.id == thread.native_id:
                    return float(one.user_time + one.system_time)
        return None

    def forget_others(self, names: Iterable[str]) -> None:
        """Nothing is kept."""


def _all_below(pid: int) -> list[int]:
    return below(pid) if IS_LINUX else portably_below(pid)


def portably_below(pid: int) -> list[int]:
    """The processes below this one, found without /proc."""
    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _cpu_seconds(pid: int) -> float:
    """What a process has used, with those below it that have ended and were waited for."""
    return _of(pid, lambda process: sum(process.cpu_times()[:4]))


def _ram_mb(pids: Iterable[int]) -> float:
    """What these hold; what they share with each other counts once, where the system says so."""
    if IS_LINUX:
        return sum(map(share_kib, pids)) / 1024
    return sum(_of(pid, lambda process: process.memory_info().rss) for pid in pids) / MIB


def _of(pid: int, measure: Callable[[psutil.Process], float]) -> float:
    try:
        return measure(psutil.Process(pid))
    except psutil.Error:
        return 0.0

"""What a run in a child process uses, as the process itself measures it."""

from __future__ import annotations

import contextlib
import os
import resource

from manager.outcome import Usage


class Gauge:
    """Measures what a run uses, of a process that had other runs before."""

    def __init__(self) -> None:
        self._reset = _open("/proc/self/clear_refs", os.O_WRONLY)
        self._statm = _open("/proc/self/statm", os.O_RDONLY)
        self._page_mb = os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
        self._cpu = 0.0

    def start(self) -> None:
        """Begin anew; where the system cannot forget a peak it stays that of the process."""
        if self._reset is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._reset, b"5", 0)
        self._cpu = self.cpu_seconds()

    def usage(self) -> Usage:
        """What was used since the start."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Usage(self.cpu_seconds() - self._cpu, peak)

    def cpu_seconds(self) -> float:
        """Of this process and of those that it waited for."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        others = resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime

    def rss_mb(self) -> float:
        """What is resident now; 0 where the system does not say."""
        if self._statm is None:
            return 0.0
        return int(os.pread(self._statm, 200, 0).split()[1]) * self._page_mb


def _open(path: str, flags: int) -> int | None:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return None

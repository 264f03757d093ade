"""Whether the kernel has just ended a process for lack of memory.

For wardens, so it imports next to nothing.
"""

from __future__ import annotations

import time

from manager.processes import read

PAUSE_SECONDS = 1.0
# The kernel counts, then kills, and what is large takes a while to go.
LOOKS = 3

IN_GROUP, IN_SYSTEM, NONE, UNKNOWN = "in-group", "in-system", "none", "unknown"
_SYSTEM = "/proc/vmstat"
_GROUPS = "/sys/fs/cgroup"
_WORD = b"oom_kill "


class Shortage:
    """The kernel's counts, now and two or three seconds ago: of this process's memory cgroup, if
    it has one that can be read, and of the whole system."""

    def __init__(self, group: str | None = None, system: str = _SYSTEM) -> None:
        self._paths = (group or group_file(), system)
        self._seen: list[tuple[float, list[int | None]]] = []
        self.look()

    def look(self) -> None:
        """Be called now and then, more often than once a second."""
        now = time.monotonic()
        if not self._seen or now - self._seen[-1][0] >= PAUSE_SECONDS:
            self._seen.append((now, [_count(path) for path in self._paths]))
            del self._seen[:-LOOKS]

    def found(self) -> str:
        """Whether one was ended in this time: in our own group, or somewhere in the system."""
        before = self._seen[0][1]
        after = [_count(path) for path in self._paths]
        for where, old, new in zip((IN_GROUP, IN_SYSTEM), before, after, strict=True):
            if old is not None and new is not None and new > old:
                return where
        return UNKNOWN if after == [None, None] else NONE


def group_file(groups: str = _GROUPS, own: str = "/proc/self/cgroup") -> str:
    """The file that counts for this process's memory cgroup; empty when there is none."""
    try:
        lines = read(own).decode(errors="replace").splitlines()
    except OSError:
        return ""
    paths = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if "memory" in kinds.split(","):
            paths.append(f"{groups}/memory{path}/memory.oom_control")
        elif not kinds:
            paths.append(f"{groups}{path}/memory.events")
    return next((path for path in paths if _count(path) is not None), "")


def _count(path: str) -> int | None:
    """How many were ended so far, None when the file does not say."""
    if not path:
        return None
    try:
        lines = read(path).split(b"\n")
        return next(int(line[len(_WORD) :]) for line in lines if line.startswith(_WORD))
    except (OSError, StopIteration, ValueError):
        return None

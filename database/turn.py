"""The turn to write to a SQLite file: a lock on a file beside it, waited for in line and bounded.

SQLite's own busy handler sleeps and starves writers; the kernel's queue on a lock file is fair,
and a lock is released when its process dies. But nothing ends a wait in that queue, so a process
that is stopped in the midst of a write would hold up everybody for as long. So a helper thread
stands in the queue, for those of its process who wait, and each of them leaves in time.
"""

from __future__ import annotations

import fcntl
import math
import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path

from database.errors import DatabaseAway

# What keeps SQLite itself busy, since all of ours write in turns.
FOREIGN = (
    "something that is not Capataz keeps the file locked, such as a shell in the middle of a "
    "transaction: end that ('lsof FILE' tells who has it open)"
)


class Turn:
    """A context that one thread of one process at a time is in, of all that use the same file.

    Entering takes at most `seconds`, then raises `DatabaseAway`; it is not reentrant.
    """

    def __init__(self, path: str, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._begin()
        _turns.add(self)

    def _begin(self) -> None:
        # The lock belongs to a descriptor, not to a thread. Idle are those that nobody uses.
        self._descriptors: list[int] = []
        self._idle: list[int] = []
        self._locked = -1
        self._kept_busy = -math.inf
        # Guards what follows; held for moments only.
        self._mutex = threading.Lock()
        self._line: deque[_Place] = deque()
        self._helped = False

    def __enter__(self) -> None:
        descriptor = self._descriptor()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._idle.append(descriptor)
            descriptor = self._wait()
        self._locked = descriptor

    def __exit__(self, *_exception: object) -> None:
        # Read before the lock is open: who has it next sets its own.
        self._unlock(self._locked)

    def __del__(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    def keep_busy(self) -> None:
        """Who was in turn just now could not write all the same: others may hear so as well."""
        self._kept_busy = time.monotonic()

    def disown(self) -> None:
        """In a forked process: begin anew, or a lock of the first would outlive it in our copy."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._begin()

    def _descriptor(self) -> int:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise DatabaseAway(f"{type(error).__name__}: {error}", nothing_done=True) from error
        self._descriptors.append(descriptor)
        return descriptor

    def _unlock(self, descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._idle.append(descriptor)

    def _wait(self) -> int:
        """A descriptor that the helper has locked for this thread."""
        place = _Place()
        try:
            self._line_up(place)
            place.come.acquire(timeout=self._seconds)
        except BaseException as error:
            if not self._leave(place):
                self._unlock(place.descriptor)
            if isinstance(error, RuntimeError):  # no thread to be had
                raise DatabaseAway(f"no turn to write: {error}", nothing_done=True) from error
            raise
        if self._leave(place):
            is_foreign = time.monotonic() - self._kept_busy < 2 * self._seconds
            blame = FOREIGN if is_foreign else _blame(self._path)
            reason = f"no turn to write within {self._seconds:g} s: {blame}"
            raise DatabaseAway(reason, nothing_done=True)
        return place.descriptor

    def _line_up(self, place: _Place) -> None:
        with self._mutex:
            self._line.append(place)
            if not self._helped:
                threading.Thread(target=self._help, name="turn", daemon=True).start()
                self._helped = True

    def _leave(self, place: _Place) -> bool:
        """Leave the line; False when the turn has come."""
        with self._mutex:
            if place.descriptor >= 0:
                return False
            self._line.remove(place)
            return True

    def _help(self) -> None:
        """Stand in the kernel's queue for whoever is the first in line, until nobody is."""
        try:
            while self._is_needed():
                descriptor = self._descriptor()
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                except OSError:
                    self._idle.append(descriptor)
                    raise
                self._call(descriptor)
        except (DatabaseAway, OSError):
            # Out of memory or of files: those in line leave in time, and the next to come tries.
            with self._mutex:
                self._helped = False

    def _is_needed(self) -> bool:
        with self._mutex:
            self._helped = bool(self._line)
            return self._helped

    def _call(self, descriptor: int) -> None:
        """Give the turn to the first in line; up again at once when all have left meanwhile."""
        with self._mutex:
            if self._line:
                place = self._line.popleft()
                place.descriptor = descriptor
                place.come.release()
                return
        self._unlock(descriptor)


_turns: weakref.WeakSet[Turn] = weakref.WeakSet()


def _disown_all() -> None:
    for turn in _turns:
        turn.disown()


os.register_at_fork(after_in_child=_disown_all)


class _Place:
    """A place in line: its lock opens when the turn comes, on the descriptor given then."""

    __slots__ = ("come", "descriptor")

    def __init__(self) -> None:
        self.descriptor = -1
        self.come = threading.Lock()
        self.come.acquire()


def _blame(path: str) -> str:
    """Who holds the lock on this file, and what to do about it."""
    holder = _holder(path)
    if holder is None:
        return f"something holds the lock on {path}; 'grep FLOCK /proc/locks' may tell what"
    if holder == os.getpid():
        return f"another thread of this process ({holder}) had it just now; restart it if it hangs"
    if _is_stopped(holder):
        return f"process {holder} has it, and is stopped; 'kill -CONT {holder}', or end it"
    return (
        f"process {holder} has it just now, and runs: it may have been stopped until a moment ago; "
        f"look before you end it ('ps -o pid,stat,etime,cmd {holder}'), and only if the same one "
        "is named again and again"
    )


def _holder(path: str) -> int | None:
    """The process that holds the lock on this file, if the kernel says so."""
    with suppress(OSError, ValueError):
        file = os.stat(path)
        device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            # As in "1: FLOCK  ADVISORY  WRITE 4711 fe:00:2473985 0 EOF"; with "->" one who waits.
            _, kind, *_, pid, place, _, _ = line.split()
            if kind == "FLOCK" and place == device and int(pid) > 0:
                return int(pid)
    return None


def _is_stopped(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
        return state in ("T", "t")
    return False

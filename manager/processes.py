"""Who is below whom, and what it holds, as the kernel tells; and what to ask of the kernel.

For wardens too, so it imports little, and only of the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SET_PDEATHSIG = 1
SET_SUBREAPER = 36
_GET_SUBREAPER = 37
_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_PAUSE_SECONDS = 0.005


def attempt(call: Callable[..., object], *arguments: object) -> None:
    """Call it; that the system refuses, or that the process is gone, is no news."""
    try:  # noqa: SIM105 (contextlib would be the heaviest part of a warden)
        call(*arguments)
    except OSError:
        pass


def prctl(option: int, value: int) -> bool:
    """Ask the kernel; False where it knows no such thing."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)


def has_subreaper() -> bool:
    """Whether this system can give a process's orphans to an ancestor of theirs."""
    if sys.platform != "linux":
        return False
    value = ctypes.c_int()
    return bool(ctypes.CDLL(None).prctl(_GET_SUBREAPER, ctypes.byref(value), 0, 0, 0) == 0)


def below(pid: int, most: int = sys.maxsize) -> list[int]:
    """The processes below this one, at most about so many; empty where the system won't say."""
    found = _children(pid)
    for one in found:
        if len(found) > most:
            break
        found += _children(one)
    return found


def end_marked(mark: bytes, spared: int, seconds: float) -> None:
    """End all processes that were started with this `NAME=value` in their environment, but one.

    Where they go on starting others, or the kernel holds on to one, for so long.
    """
    until = time.monotonic() + seconds
    while (found := [pid for pid in _marked(mark) if pid != spared]) and time.monotonic() < until:
        for pid in found:
            attempt(os.kill, pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _marked(mark: bytes) -> list[int]:
    found: list[int] = []
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for name in processes:
        try:
            if mark in read(f"/proc/{name}/environ").split(b"\0"):
                found.append(int(name))
        except OSError:
            pass  # it ended, or is not ours
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        if not _LISTS_CHILDREN:
            return [int(one) for one in os.listdir("/proc") if _parent(one) == pid]
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, read(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:
        pass  # it ended while it was looked at
    return found


def _parent(process: str) -> int | None:
    try:
        return int(_stat(process)[1]) if process.isdigit() else None
    except OSError:
        return None


def _stat(process: object) -> list[bytes]:
    """Its state, its parent, and so on."""
    return read(f"/proc/{process}/stat").rpartition(b")")[2].split()


def read(path: str) -> bytes:
    """All that is in a file. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    data = b""
    try:
        while chunk := os.read(descriptor, 65536):
            data += chunk
    finally:
        os.close(descriptor)
    return data


def is_alive(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in b"ZX"
    except OSError:
        return False


def resident_kib(pid: int) -> int:
    try:
        return int(read(f"/proc/{pid}/statm").split()[1]) * _PAGE_KIB
    except OSError:
        return 0


def share_kib(pid: int) -> int:
    """What it has resident, with its part of what it shares."""
    try:
        lines = read(f"/proc/{pid}/smaps_rollup").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(b"Pss:"))
    except (OSError, StopIteration):
        return resident_kib(pid)

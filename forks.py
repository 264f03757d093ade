"""Descriptors that a forked copy of this process must not share.

A job in a thread may call `os.fork`. A lock, or the end of a pipe, that its child keeps a copy of
would outlive this process: whoever watches for our end would never see it.
"""

from __future__ import annotations

import os
from contextlib import suppress

# The number alone may be another file's by now: who closes a descriptor may do so deep in a driver.
_kept: dict[int, tuple[int, int]] = {}


def keep(descriptor: int) -> None:
    """Keep this open descriptor to this process: in a forked child it leads to /dev/null.

    Call it before the descriptor means anything to others: before it is locked, or passed on.
    """
    _kept[descriptor] = _identity(descriptor)


def forget(descriptor: int) -> None:
    """Call it before the descriptor is closed. Safe twice, and for one that was never kept."""
    _kept.pop(descriptor, None)


def _disown() -> None:
    nothing = -1
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor, identity in _kept.items():
        with suppress(OSError):
            if _identity(descriptor) != identity:
                continue
            if nothing < 0:  # no descriptor is free, so that a closed one is the lesser evil
                os.close(descriptor)
            else:
                os.dup2(nothing, descriptor, inheritable=False)
    _kept.clear()
    if nothing >= 0:
        os.close(nothing)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


os.register_at_fork(after_in_child=_disown)

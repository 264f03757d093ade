"""The jobs of the crash tests: each leaves lines in a file of effects that outlives any process.

A line is `word order attempt lease pid`, written with one call, so that no line is ever torn.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from jobs import Context, job
from jobs.errors import Cancelled

LOOK_SECONDS = 0.01
FORKED_SECONDS = 60


@job("crash.mark")
def mark(context: Context, effects: str, value: int = 0) -> dict[str, int]:
    """Begin and end at once."""
    _note(effects, "began", context)
    _note(effects, "ended", context)
    return _result(context, value)


@job("crash.deaf")
def deaf(context: Context, effects: str, gate: str) -> dict[str, int]:
    """Wait until the gate of this attempt opens, whatever the context says."""
    _note(effects, "began", context)
    while not _is_open(gate, context):
        time.sleep(LOOK_SECONDS)
    _note(effects, "ended", context)
    return _result(context)


@job("crash.keen")
def keen(context: Context, effects: str, gate: str) -> dict[str, int]:
    """Wait until the gate opens or the context says to stop; then wait for the gate to return."""
    _note(effects, "began", context)
    while not _is_open(gate, context) and not context.wait(LOOK_SECONDS):
        pass
    if context.cancelled:
        _note(effects, "told", context)
        while not _is_open(gate, context):
            time.sleep(LOOK_SECONDS)
    _note(effects, "ended", context)
    return _result(context)


@job("crash.obedient")
def obedient(context: Context, effects: str, gate: str) -> dict[str, int]:
    """Wait until the gate opens; when told to stop, say so and stop."""
    _note(effects, "began", context)
    while not _is_open(gate, context):
        if context.wait(LOOK_SECONDS):
            _note(effects, "told", context)
            raise Cancelled
    _note(effects, "ended", context)
    return _result(context)


@job("crash.tardy")
def tardy(context: Context, effects: str, gate: str) -> dict[str, int]:
    """Wait until told to stop; say so, and stop when the gate opens. With it open, just end."""
    _note(effects, "began", context)
    while not _is_open(gate, context):
        if context.cancelled:
            _note(effects, "told", context)
            while not _is_open(gate, context):
                time.sleep(LOOK_SECONDS)
            raise Cancelled
        context.wait(LOOK_SECONDS)
    _note(effects, "ended", context)
    return _result(context)


@job("crash.forking")
def forking(context: Context, effects: str, gate: str) -> dict[str, int]:
    """Leave a forked process behind that outlives the manager for a while, and wait."""
    if os.fork() == 0:
        time.sleep(FORKED_SECONDS)
        os._exit(0)
    return deaf(context, effects, gate)


@job("crash.doubled")
def doubled(context: Context, effects: str, gate: str = "") -> int:
    """Fork, and return in both."""
    child = os.fork()
    if child == 0:
        return 0
    _note(effects, "ended", context)
    os.waitpid(child, 0)
    return child


@job("crash.lethal")
def lethal(context: Context, effects: str, gate: str) -> None:
    """Wait for the gate, and take down the process that this runs in."""
    _note(effects, "began", context)
    while not _is_open(gate, context):
        time.sleep(LOOK_SECONDS)
    os._exit(7)


@job("crash.apart", isolation="process")
def apart(context: Context, effects: str, gate: str) -> dict[str, int]:
    """As `crash.deaf`, in a process of its own, and with a daemon that outlives its parent."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _note(effects, "daemon", context)
            os.close(writer)
            time.sleep(FORKED_SECONDS)
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)  # ends when the daemon is on its own
    os.close(reader)
    return deaf(context, effects, gate)


def _is_open(gate: str, context: Context) -> bool:
    return Path(gate, "all").exists() or Path(gate, str(context.lease)).exists()


def _result(context: Context, value: int = 0) -> dict[str, int]:
    return {"value": value, "lease": context.lease, "pid": os.getpid()}


def _note(effects: str, word: str, context: Context) -> None:
    line = f"{word} {context.job_id} {context.attempt} {context.lease} {os.getpid()}\n"
    descriptor = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)

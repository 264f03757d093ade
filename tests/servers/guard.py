"""Ends a test server when the test run that started it is gone, however it went.

Run as `guard.py FOLDER` with a pipe as standard input whose other end the test run holds open.
When the pipe ends (closed, or its holder killed), every process that works in the folder is ended
and the folder is removed.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

PATIENCE_SECONDS = 10


def start_guard(folder: Path) -> subprocess.Popen[bytes]:
    """Start a guard over `folder`; closing its `stdin` makes it clean up and exit."""
    # Its own session: Ctrl-C in the terminal must not end it before the server.
    return subprocess.Popen(
        [sys.executable, "-I", __file__, str(folder)],
        stdin=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )


def end_processes(folder: Path) -> None:
    """Ask every process that works in `folder` to quit at once, then kill those that remain."""
    # PostgreSQL's word for an immediate stop; killed, it would leave shared memory behind.
    _send(_processes_in(folder), signal.SIGQUIT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    # They are not our children, so there is nothing to wait on but their absence.
    while (remaining := _processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    _send(remaining, signal.SIGKILL)


def _processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            continue  # ended already, or somebody else's
    return found


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    guarded = Path(sys.argv[1])
    end_processes(guarded)
    shutil.rmtree(guarded, ignore_errors=True)

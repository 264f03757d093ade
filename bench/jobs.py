"""Jobs that only the benchmark runs: a manager gets them by CAPATAZ_JOBS=bench.jobs."""

from __future__ import annotations

import os
import time

from jobs import Context, job


@job("echo")
def echo(_context: Context, text: str) -> str:
    """Give back what came."""
    return text


@job("litter", isolation="process")
def litter(_context: Context, text: str) -> str:
    """Leave something behind that cannot be undone, so that the process is not used again."""
    os.pipe()
    return text


@job("stamp")
def stamp(_context: Context, path: str, number: int) -> None:
    """Append the moment of the first line (monotonic ns, one clock for the whole machine)."""
    now = time.monotonic_ns()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{number} {now}\n".encode())
    finally:
        os.close(descriptor)

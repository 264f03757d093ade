"""The real processes of a benchmark: a web process and managers on a database of their own."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 30.0


@contextmanager
def running(url: str, *commands: tuple[str, ...], **settings: str) -> Iterator[list[int]]:
    """Run `manage.py COMMAND` for each, end them all at the end; their process ids."""
    environment = {**os.environ, "DATABASE_URL": url, "CAPATAZ_LOG_FORMAT": "json", **settings}
    processes = [
        subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def free_port() -> int:
    """A port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_ready(port: int) -> None:
    """Wait until the API says that it can accept work. Raises `TimeoutError`."""
    until = time.monotonic() + READY_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > until:
            raise TimeoutError(f"nothing ready on port {port} after {READY_SECONDS:g} s")
        time.sleep(0.02)

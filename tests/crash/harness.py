"""Real processes on one database: started, stopped, killed and always ended by the tests."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import ledger
from database import Database
from ledger import NewOrder, OrderRow, Request
from models import ENDED
from settings import VARIABLES
from tests.crash.effects import Effects, Gate
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[2]
JOBS = "tests.crash.jobs"
FAULTS = ("a step failed", "a duty failed", "Traceback", "locked", "Busy")

# Beats are quick; unless a test says otherwise, silence is long: a slow machine is no dead manager.
ENVIRONMENT = {
    "CAPATAZ_HEARTBEAT_SECONDS": "0.2",
    "CAPATAZ_STALE_SECONDS": "30",
    "CAPATAZ_POLL_SECONDS": "0.1",
    "CAPATAZ_GRACE_SECONDS": "5",
    "CAPATAZ_MAX_WORKERS": "4",
    "CAPATAZ_LOG_FORMAT": "json",
    "CAPATAZ_JOBS": JOBS,
    "WEB_CONCURRENCY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Process:
    """One of our commands as a process of its own, with its output in a file."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], output: Path) -> None:
        self.name = output.stem
        self._output = output
        # Its own process group, so that what it forked ends with it.
        with output.open("wb") as file:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        """All that it has written so far."""
        return self._output.read_text(errors="replace")

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def says(self, text: str, timeout: float = 20.0) -> None:
        """Wait until its output has this text."""
        wait_until(lambda: text in self.output, f"{self.name} says {text!r}", timeout)

    def kill(self) -> None:
        """`kill -9`."""
        self._popen.kill()
        self._popen.wait()

    def terminate(self) -> None:
        self._popen.send_signal(signal.SIGTERM)

    def freeze(self, lock: Path | None = None) -> None:
        """Stop it where it is, but not while it has its turn at writing to a SQLite file: that
        would stop everybody."""
        process = psutil.Process(self.pid)
        while True:
            self._popen.send_signal(signal.SIGSTOP)
            wait_until(lambda: process.status() == psutil.STATUS_STOPPED, f"{self.name} stops")
            if lock is None or _is_free(lock):
                return
            self.thaw()

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit code, when it ends within so many seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout:g} s") from None

    def end(self) -> None:
        """Kill it and whatever it forked, however it is. Safe twice."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


class Answer(NamedTuple):
    """What the API answered."""

    status: int
    headers: dict[str, str]
    body: str


class Api(Process):
    """The web process."""

    port: int = 0

    def ask(self, path: str, method: str = "GET", timeout: float = 30.0) -> Answer:
        """One request on a connection of its own. Raises `OSError`, `HTTPException`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read().decode())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return self.ask("/readyz").status == 200
        except OSError:
            return False


class Site:
    """A database, the processes that a test runs on it, and what their jobs did."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.database = Database(url)
        self.effects = Effects(folder)
        self.processes: list[Process] = []
        self._gates = 0

    def manager(self, **settings: Any) -> Process:
        """Start a manager; settings as in `stale_seconds=1`, None leaves one out; it may reach the
        database by another `database_url`."""
        return self.run("manager", ["manage.py", "manager"], **settings)

    def managers(self, count: int, **settings: Any) -> list[Process]:
        """Start several at once, and wait until all are at work."""
        started = [self.manager(**settings) for _ in range(count)]
        for one in started:
            one.says("manager started")
        return started

    def api(self, **settings: Any) -> Api:
        """Start the web process and wait until it is ready."""
        port = _free_port()
        arguments = ["manage.py", "runserver", str(port)]
        api = Api(arguments, self._environment(settings), self.folder / "api.log")
        api.port = port
        self.processes.append(api)
        wait_until(api.is_ready, "the API is ready")
        return api

    def run(self, name: str, arguments: Sequence[str], **settings: Any) -> Process:
        """Start a process of any kind in the environment of the managers."""
        output = self.folder / f"{name}-{len(self.processes) + 1}.log"
        process = Process(arguments, self._environment(settings), output)
        self.processes.append(process)
        return process

    def submit(self, kind: str, gate: Gate | None = None, **columns: Any) -> str:
        """Submit an order of one of the crash tests' types; its id."""
        return self.submit_many(kind, 1, gate, **columns)[0]

    def submit_many(
        self, kind: str, count: int, gate: Gate | None = None, **columns: Any
    ) -> list[str]:
        """Submit that many in one transaction; their ids."""
        payload = self.effects.payload(gate)
        orders = [
            NewOrder(**({"id": new, "type": f"crash.{kind}", "payload": payload} | columns))
            for new in ledger.new_ids(count)
        ]
        return ledger.submit(self.database, [Request(orders)])[0].ids

    def gate(self) -> Gate:
        """A new gate, closed."""
        self._gates += 1
        return Gate(self.folder / f"gate-{self._gates}")

    def order(self, order_id: str) -> OrderRow:
        return ledger.find(self.database, order_id)

    def began(self, order_id: str, lease: int | None = None) -> None:
        """Wait until the job of this order has begun (under this lease)."""
        wait_until(
            lambda: [
                effect
                for effect in self.effects.all("began", order_id)
                if lease in (None, effect.lease)
            ],
            f"order {order_id} begins",
        )

    def ends(self, *order_ids: str, timeout: float = 20.0) -> None:
        """Wait until these orders have ended."""
        left = set(order_ids)

        def none_left() -> bool:
            left.difference_update([one for one in left if self.order(one).status in ENDED])
            return not left

        wait_until(none_left, f"{len(left)} of {len(order_ids)} orders end", timeout)

    def name_of(self, manager: Process) -> str:
        """The name that a manager has given itself."""
        (row,) = (row for row in ledger.managers(self.database) if row.pid == manager.pid)
        return row.id

    def runs_under(self, pid: int) -> int:
        """The manager that a job's process belongs to: itself, or its warden's parent."""
        if pid in {process.pid for process in self.processes}:
            return pid
        warden = psutil.Process(pid).ppid()
        return psutil.Process(warden).ppid()

    @property
    def lock(self) -> Path | None:
        """Where the writers of a SQLite file take turns."""
        path = self.database.path
        return Path(f"{path}.lock") if path is not None else None

    def close(self) -> None:
        """End every process, and let its output be seen if the test failed."""
        for process in self.processes:
            process.end()
        for process in self.processes:
            print(f"----- {process.name} (pid {process.pid})\n{process.output[-20_000:]}")
        print(f"----- effects\n{self.effects.path.read_text()[-4_000:]}")
        self.database.close()

    def faults(self) -> list[str]:
        """The lines of output that no manager may ever write."""
        return [
            f"{process.name}: {line}"
            for process in self.processes
            for line in process.output.splitlines()
            if any(fault in line for fault in FAULTS)
        ]

    def _environment(self, settings: dict[str, Any]) -> dict[str, str]:
        url = {"DATABASE_URL": settings.pop("database_url", self.url)}
        given = {
            VARIABLES.get(name, f"CAPATAZ_{name.upper()}"): value
            for name, value in settings.items()
        }
        environment = ENVIRONMENT | url | given
        return {name: str(value) for name, value in environment.items() if value is not None}


def elapsed(since: float) -> float:
    """Seconds since a moment on the monotonic clock."""
    return time.monotonic() - since


def _is_free(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

"""A real PgBouncer in front of a test server, in transaction mode, with few connections to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg

from tests.servers.debian import find_or_install
from tests.servers.home import Home, free_port
from tests.support import wait_until

REMEDY = "PgBouncer is missing: as root, 'apt-get install pgbouncer'"
# Masked, so that Debian does not start what it installs, now or at the next boot.
UNIT = Path("/etc/systemd/system/pgbouncer.service")


class PgBouncer:
    """A pooler of our own on a free loopback port, started at once; it keeps its port over `stop`
    and `start`. Any database of the server behind it can be reached by its name.

    When it is closed, or when this process ends in whatever way, a guard ends it and removes its
    folder.
    """

    def __init__(self, server: str, *, connections: int = 3) -> None:
        """`server` is the URL of any database there; at most so many `connections` to each."""
        self.port = free_port()
        self._program = find_or_install("pgbouncer", _installed, REMEDY, _masked())
        self._home = Home("pgbouncer")
        self.folder = self._home.folder
        try:
            self._identity = self._home.identity()
            self._configuration = self.folder / "pgbouncer.ini"
            self._configuration.write_text(self._configured(server, connections))
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, url: str) -> str:
        """The same database by way of the pooler."""
        return urlunsplit(urlsplit(url)._replace(netloc=f"capataz@127.0.0.1:{self.port}"))

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self._home.log

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        subprocess.run(
            [self._program, "--quiet", "--daemon", self._configuration],
            check=True,
            stdin=subprocess.DEVNULL,
            **self._identity,
        )
        wait_until(self.is_running, "the pooler takes connections")

    def stop(self) -> None:
        """End it at once, with all connections, and wait until it has gone."""
        with suppress(ProcessLookupError):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGTERM)
        wait_until(lambda: not (self.folder / "pid").exists(), "the pooler has ended")

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def is_running(self) -> bool:
        """Whether it answers."""
        url = f"postgresql://capataz@127.0.0.1:{self.port}/pgbouncer"
        try:
            psycopg.connect(url, autocommit=True).close()
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        """End it, however it is, and remove all that it wrote. Safe twice."""
        self._home.close()

    def _configured(self, server: str, connections: int) -> str:
        parts = urlsplit(server)
        behind = {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or 5432,
            "user": unquote(parts.username or "postgres"),
            "password": unquote(parts.password or ""),
        }
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": connections,
            "max_client_conn": 500,
            "query_wait_timeout": 10,
            "logfile": self.folder / "log",
            "pidfile": self.folder / "pid",
        }
        databases = " ".join(f"{name}={value}" for name, value in behind.items() if value != "")
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        return f"[databases]\n* = {databases}\n[pgbouncer]\n{''.join(lines)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _installed() -> Path | None:
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


@contextmanager
def _masked() -> Iterator[None]:
    if UNIT.parent.is_dir() and not UNIT.is_symlink() and not UNIT.exists():
        UNIT.symlink_to(os.devnull)
    yield

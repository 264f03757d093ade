"""A real PostgreSQL for the tests: the one that TEST_DATABASE_URL names, or one of our own.

`postgres_server()` gives either. A test that stops or restarts the server starts a
`PostgresServer` for itself.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, LiteralString, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.servers.home import Home, free_port
from tests.servers.postgres_programs import server_programs

VARIABLE = "TEST_DATABASE_URL"
START_SECONDS = 60

StopMode = Literal["smart", "fast", "immediate"]


class PostgresError(Exception):
    """The server did not do what it was told; the text ends with what it said."""


class Postgres:
    """A PostgreSQL server, by the URL of a database on it that exists already."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._created: list[str] = []

    def url(self, database: str) -> str:
        """The URL of one database on this server, which need not exist."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))

    def create_database(self, name: str | None = None, *, template: str = "template1") -> str:
        """Create a database, under a name of its own when none is given, and return its URL.

        A `template` is copied whole; nobody may be connected to it.
        """
        name = name or f"capataz_test_{secrets.token_hex(8)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        self._created.append(name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending whoever is connected to it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        if name in self._created:
            self._created.remove(name)

    @contextmanager
    def fresh_database(self, *, template: str = "template1") -> Iterator[str]:
        """The URL of a new database, which is dropped at the end."""
        url = self.create_database(template=template)
        try:
            yield url
        finally:
            self.drop_database(urlsplit(url).path.lstrip("/"))

    def close(self) -> None:
        """Drop the databases created here. Safe twice."""
        for name in list(self._created):
            self.drop_database(name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class PostgresServer(Postgres):
    """A server of our own, started at once, in a temporary folder, on a free loopback port.

    It keeps its port and its data over `stop` and `start`. When it is closed, or when this process
    ends in whatever way, a guard ends the server and removes the folder. `fsync=False` makes it
    faster and forgetful: not for tests that crash it.
    """

    def __init__(self, *, fsync: bool = True) -> None:
        self.port = free_port()
        super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
        self._programs = server_programs()
        self._home = Home("postgres")
        self.folder = self._home.folder
        try:
            self._identity = self._home.identity()
            self._initialize(fsync=fsync)
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def data(self) -> Path:
        """The folder of the data."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """All that the server has said so far."""
        return self._home.log

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        # Its sockets and its data are in its folder, and with -l it holds none of our pipes.
        self._run("pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-l", f"{self.folder}/log")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait until it has: `immediate` is a crash, recovered at the start."""
        self._run("pg_ctl", "stop", "-w", "-t", str(START_SECONDS), "-m", mode)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def is_running(self) -> bool:
        """Whether the server is up."""
        status = subprocess.run(
            [self._programs / "pg_ctl", "status", "-D", self.data],
            check=False,
            capture_output=True,
            **self._identity,
        )
        return status.returncode == 0

    def close(self) -> None:
        """End the server, however it is, and remove all that it wrote. Safe twice."""
        self._home.close()

    def _initialize(self, *, fsync: bool) -> None:
        self._run(
            "initdb", "--username=postgres", "--auth=trust", "--no-sync",
            "--locale=C", "--encoding=UTF8",
        )  # fmt: skip
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "fsync": "on" if fsync else "off",
        }
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments, "-D", self.data],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * START_SECONDS,
            **self._identity,
        )
        if done.returncode != 0:
            told = " ".join((program, *arguments[:1]))
            raise PostgresError(f"{told} failed: {done.stdout.strip()}\n{self.log[-2000:]}")


@contextmanager
def postgres_server(*, fsync: bool = True) -> Iterator[Postgres]:
    """The server that TEST_DATABASE_URL names, else a `PostgresServer` for as long as needed.

    On a named server only databases created through what this yields are touched.
    """
    url = os.environ.get(VARIABLE)
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise PostgresError(f"{VARIABLE} is no PostgreSQL URL: write postgresql://USER@HOST/NAME")
    with Postgres(url) if url else PostgresServer(fsync=fsync) as server:
        yield server

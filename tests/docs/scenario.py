"""Follows one page as a reader would: its commands, in order, in a copy of the checkout."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.docs.pages import POSTGRES_URL, Block
from tests.house.project import ROOT
from tests.support import wait_until

PORT = "8000"
BLOCK_SECONDS = 30
START_SECONDS = 60
STOP_SECONDS = 40

# What the test run itself was started with is none of the reader's business.
_FOREIGN = re.compile(
    r"CAPATAZ_\w+|DATABASE_URL|TEST_DATABASE_URL|HOST|PORT|DYNO|PG\w+|MAKE\w*|MFLAGS"
)
# No environment: `make` must never find one here and clear it.
_LEFT_OUT = (".git", ".venv", ".env", "__pycache__", ".*_cache", "*.db*", "node_modules", ".node*")


class Scenario:
    """A reader's machine: a copy of the checkout, a free port, and what the page started there."""

    def __init__(self, folder: Path, postgres_url: str | None, programs: str) -> None:
        """`programs` goes in front of PATH."""
        self.folder = folder / "capataz"
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        self.port = str(_free_port())
        self._postgres_url = postgres_url
        self._state = folder / "environment"
        self._logs = folder
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {k: v for k, v in os.environ.items() if not _FOREIGN.fullmatch(k)}
        self._environment |= {
            "PATH": f"{Path(sys.executable).parent}:{programs}:{os.environ['PATH']}",
            "PORT": self.port,
            "PYTHONPATH": str(self.folder),
        }

    def run(self, block: Block) -> str:
        """Run a block of commands; what it printed. Fails when one of them fails."""
        script = (
            f"set -euo pipefail; trap 'env -0 > {self._state}' EXIT; set -a\n"
            f"{self.adapted(block.text)}"
        )
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
        )
        assert done.returncode == 0, (
            f"{block.place} ended with {done.returncode}:\n{done.stdout}{done.stderr}{self.logs()}"
        )
        # A page goes on in the same shell: its variables are kept.
        pairs = self._state.read_text().split("\0")
        kept = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        self._environment = {k: v for k, v in kept.items() if k not in ("_", "PWD", "SHLVL")}
        return done.stdout

    def serve(self, block: Block) -> str:
        """Start a server, once an older one of the same command has stopped; what it says.

        Returns when it is up.
        """
        command = self.adapted(block.text).strip()
        name = re.sub(r"^(\w+=\S* )*", "", command)
        self._stop(name)
        is_make = name.startswith("make ")
        environment = dict(self._environment)
        if is_make:
            # It sets up the environment of the place where it runs, so it runs in the real one.
            environment["DATABASE_URL"] = f"sqlite:///{self.folder}/capataz.db"
        log = self._log(name)
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"],
                cwd=ROOT if is_make else self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers[name] = process

        def up() -> bool:
            if process.poll() is not None:
                raise ChildProcessError(f"{block.place} ended by itself:\n{log.read_text()}")
            return self._is_up(name, log)

        wait_until(up, f"{block.place} is not up", START_SECONDS)
        return log.read_text()

    def write(self, block: Block, name: str) -> None:
        """Write a file that the page shows."""
        (self.folder / name).write_text(block.text)

    def close(self) -> None:
        """Stop the servers as a supervisor would; each must end well."""
        for name in list(reversed(self._servers)):
            self._stop(name)

    def kill(self) -> None:
        """Leave nothing running, whatever happened."""
        for process in self._servers.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def adapted(self, text: str) -> str:
        """A page's text with this machine's port and database."""
        text = re.sub(rf"\b{PORT}\b", self.port, text)
        return text.replace(POSTGRES_URL, self._postgres_url) if self._postgres_url else text

    def logs(self) -> str:
        """What the servers said, for whoever looks for a mistake."""
        return "".join(f"\n--- {log.name}\n{log.read_text()}" for log in self._logs.glob("*.log"))

    def _stop(self, name: str) -> None:
        process = self._servers.get(name)
        if process is None:
            return
        process.terminate()
        code = process.wait(STOP_SECONDS)
        del self._servers[name]
        # make itself ends by the signal it was sent, once what it started has ended.
        good = (0, -signal.SIGTERM) if name.startswith("make ") else (0,)
        assert code in good, f"{name} ended with {code}:\n{self._log(name).read_text()}"

    def _is_up(self, name: str, log: Path) -> bool:
        if name.startswith("make "):
            return "Ctrl-C\n" in log.read_text()
        if name.endswith("manager"):
            return "manager started" in log.read_text()
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _log(self, name: str) -> Path:
        return self._logs / (re.sub(r"\W+", "-", name) + ".log")


def programs(names: Mapping[str, str]) -> str:
    """The folder of these programs (name to Debian package), which are installed if need be."""
    missing = sorted(package for name, package in names.items() if not shutil.which(name))
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-q", *arguments], check=False, capture_output=True)
    paths = {name: shutil.which(name) for name in names}
    lost = [name for name, path in paths.items() if path is None]
    assert not lost, f"the pages use {', '.join(lost)}: apt-get install {' '.join(missing)}"
    return ":".join(str(Path(path).parent) for path in paths.values() if path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""The walls around a step: bubblewrap's command line, who it runs as, and what it may use.

Levels: `strict` is bubblewrap, which shows a program nothing of the host but /usr and its own
folder. `weak` is what the operator asks for where that cannot be had: limits, an empty
environment and, for root, another user and no network; but the program sees the host's files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.sandbox.errors import SandboxUnavailable
from jobs.sandbox.filter import refusals

STRICT, WEAK = "strict", "weak"
NOBODY = 65534
MOST_PROCESSES = 48
MOST_FILES_OPEN = 256
SCRATCH_MB = 64
PROBE_SECONDS = 20
_MIB = 1024 * 1024
# What a program needs to find and to trust hosts on the network.
_NETWORK_FILES: tuple[str, ...] = (
    "resolv.conf",
    "hosts",
    "nsswitch.conf",
    "gai.conf",
    "ssl",
    "pki",
)
_NETWORK_FILES += ("ca-certificates", "ca-certificates.conf")
# How the manager knows what its jobs have started, should all else fail.
_MARKS = "_CAPATAZ_"


@dataclass(frozen=True, slots=True)
class Limits:
    """What each process of a step may use: MiB, and seconds of processor time."""

    memory_mb: int
    file_mb: int
    cpu_seconds: int
    processes: int | None = MOST_PROCESSES

    def command(self) -> list[str]:
        # A program maps more than it uses; what it all uses together is measured.
        words = [
            f"--as={2 * self.memory_mb * _MIB}",
            # Told at the first, killed at the second.
            f"--cpu={self.cpu_seconds}:{self.cpu_seconds + 5}",
            f"--fsize={self.file_mb * _MIB}",
            f"--nofile={MOST_FILES_OPEN}",
            "--core=0",
        ]
        if self.processes is not None:
            words.append(f"--nproc={self.processes}")
        return ["prlimit", *words, "--"]


@dataclass(frozen=True, slots=True)
class Room:
    """What a step sees: folders by their place inside, `at` where it begins."""

    at: str
    writable: Mapping[str, Path]
    readable: Mapping[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    network: bool = False


class Walls:
    """How steps are run on this host at the level that the operator asked for."""

    def __init__(self, level: str, path: str | None = None) -> None:
        """`path` is where programs are looked for, that of the process unless given.

        Raises `SandboxUnavailable` with the reason and the remedy.
        """
        self._path = os.environ.get("PATH", os.defpath) if path is None else path
        self.is_root = os.geteuid() == 0
        self.uid = NOBODY if self.is_root else os.geteuid()
        self.gid = NOBODY if self.is_root else os.getegid()
        self.level = level
        self._tool("prlimit", "util-linux")
        if level == STRICT:
            self._bwrap = self._tool("bwrap", "bubblewrap")
            self._probe()

    def own(self, path: Path) -> None:
        """Give a file or folder of ours to whom the steps run as."""
        if self.is_root:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def command(
        self, room: Room, limits: Limits, words: Sequence[str], passed: list[int]
    ) -> list[str]:
        """The command that runs `words` within the walls; it needs the descriptors that are added
        to `passed`, which the caller closes."""
        if self.level == WEAK:
            # Outside of a name space of its own, the count would be of all that the user runs.
            own = limits if self.is_root else replace(limits, processes=None)
            return [*self._unshared(room), *own.command(), *words]
        walls = list(self._enclosed(room))
        filter_ = refusals()
        if filter_ is not None:
            passed.append(_readable("filter", filter_))
            walls += ["--seccomp", str(passed[-1])]
        # Not on the command line, which everybody on the host can read.
        passed.append(_readable("walls", b"".join(os.fsencode(wall) + b"\0" for wall in walls)))
        told = ["--args", str(passed[-1]), "--"]
        return [self._bwrap, *told, *limits.command(), *words]

    def place(self, room: Room, inside: str) -> str:
        """Where a step finds what is at `inside` of its room."""
        if self.level == STRICT:
            return inside
        for mapping in (room.writable, room.readable):
            for name, path in mapping.items():
                if inside == name or inside.startswith(name + "/"):
                    return str(path) + inside.removeprefix(name)
        return inside

    def environment(self, room: Room) -> dict[str, str]:
        """What the first process gets. A program within can read it, so there is nothing in it."""
        marks = {name: text for name, text in os.environ.items() if name.startswith(_MARKS)}
        if self.level == STRICT:
            return marks
        return marks | {"PATH": "/usr/bin:/bin"} | dict(room.variables)

    def identity(self) -> dict[str, object]:
        """For `subprocess`: who a step is run as."""
        if not self.is_root:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def _tool(self, name: str, package: str) -> str:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise SandboxUnavailable(
                f"the program {name} is not on this host, so that nothing can be run apart from "
                f"it: install the package {package}{_OTHERWISE if name == 'bwrap' else ''}"
            )
        return found

    def _probe(self) -> None:
        """See that this host's kernel and rules let us build walls at all."""
        command = [self._bwrap, *_ALONE, *_SYSTEM, "--", "/usr/bin/true"]
        try:
            done = subprocess.run(  # noqa: S603 (our own command)
                command,
                env={},
                capture_output=True,
                timeout=PROBE_SECONDS,
                check=False,
                **self.identity(),  # type: ignore[call-overload]
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxUnavailable(f"{_CANNOT} ({error}){_REMEDY}{_OTHERWISE}") from None
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise SandboxUnavailable(f"{_CANNOT} ({said}){_REMEDY}{_OTHERWISE}")

    def _enclosed(self, room: Room) -> Iterator[str]:
        yield from _ALONE
        if not room.network:
            yield "--unshare-net"
        yield from _SYSTEM
        if room.network:
            for name in _NETWORK_FILES:
                yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
        for place, path in room.readable.items():
            yield from ("--ro-bind", str(path), place)
        for place, path in room.writable.items():
            yield from ("--bind", str(path), place)
        # What bubblewrap made itself is in memory, which no limit of ours would count.
        yield from ("--remount-ro", "/dev", "--remount-ro", "/")
        yield from ("--chdir", room.at, "--clearenv")
        variables = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
        for name, text in (variables | dict(room.variables)).items():
            yield from ("--setenv", name, text)

    def _unshared(self, room: Room) -> list[str]:
        if not self.is_root:
            return []
        # Only root may have these; the user is changed within.
        apart = [] if room.network else ["--net"]
        return [
            *("unshare", *apart, "--pid", "--ipc", "--uts", "--fork", "--kill-child"),
            *("--mount-proc", "setpriv", f"--reuid={self.uid}", f"--regid={self.gid}"),
            *("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
        ]


def _readable(name: str, data: bytes) -> int:
    """A descriptor to read this from."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


_ALONE = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-cgroup-try", "--disable-userns", "--die-with-parent", "--new-session"),
    *("--cap-drop", "ALL", "--hostname", "sandbox"),
)


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    yield from ("--proc", "/proc", "--dev", "/dev")
    for place in ("/tmp", "/dev/shm"):  # noqa: S108 (the sandbox's own)
        yield from ("--perms", "1777", "--size", str(SCRATCH_MB * _MIB), "--tmpfs", place)


_SYSTEM = tuple(_system())
_CANNOT = "bubblewrap cannot make a sandbox on this host"
_REMEDY = ": allow user namespaces to unprivileged users (sysctl kernel.unprivileged_userns_clone=1"
_REMEDY += ", user.max_user_namespaces above 0)"
_OTHERWISE = (
    ", or set CAPATAZ_SANDBOX=weak when the repositories are your own: then programs have limits "
    "but see this host's files"
)

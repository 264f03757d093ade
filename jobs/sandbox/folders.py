"""The folders of a run: one of its own that goes with it, and what is in it afterwards.

What a program wrote is hostile until read with care: links lead anywhere, pipes never answer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from jobs.sandbox.errors import BadResultFile, SandboxUnavailable
from jobs.sandbox.walls import Walls

RESULT = "result.json"
MAX_RESULT = 256 * 1024
MOST_ARTIFACTS = 100
_PREFIX = "run-"
_LOCK = ".lock"
# Smaller files count as much as they take on a disk.
_BLOCK = 4096


class Size(NamedTuple):
    """How much is in a folder."""

    bytes: int
    files: int

    def within(self, most: Size) -> bool:
        return self.bytes <= most.bytes and self.files <= most.files


def measure(folder: Path, most: Size) -> Size:
    """What is in a folder and below; no further than to know that it is more than `most`."""
    size, files, waiting = 0, 0, [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                files += 1
                size += _BLOCK
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        # Blocks and not length: a file of holes takes nothing.
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                if not Size(size, files).within(most):
                    return Size(size, files)
    return Size(size, files)


def base_folder(setting: str) -> Path:
    """Where runs have their folders: the setting's, or one of this user's among temporary files.

    Raises `SandboxUnavailable` when it is another user's, or out of reach.
    """
    folder = Path(setting or Path(tempfile.gettempdir(), f"capataz-github-{os.geteuid()}"))
    with suppress(FileExistsError):
        folder.mkdir(mode=0o755, parents=bool(setting))
        folder.chmod(0o755)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SandboxUnavailable(
            f"{folder} is not a folder that only this user may write to: remove it, or name "
            "another in CAPATAZ_GITHUB_FOLDER"
        )
    # Programs of root's manager are run as nobody, who must get there.
    for above in folder.resolve().parents if os.geteuid() == 0 else ():
        if not above.stat().st_mode & 0o001:
            raise SandboxUnavailable(
                f"{above} keeps others out, and with them the programs that run in {folder}: name "
                "a folder that others can enter in CAPATAZ_GITHUB_FOLDER"
            )
    return folder


@contextmanager
def own_folder(base: Path, walls: Walls) -> Iterator[Path]:
    """A folder for one run, removed afterwards; what killed runs left is removed before.

    While a run lives it holds a lock, which a kill lets go.
    """
    sweep(base)
    name, lock = _locked(base)
    folder = base / name
    try:
        folder.mkdir(mode=0o700)
        walls.own(folder)
        yield folder
    finally:
        remove(folder)
        (base / (name + _LOCK)).unlink(missing_ok=True)
        os.close(lock)


def _locked(base: Path) -> tuple[str, int]:
    """A new name, and its lock."""
    while True:
        name = _PREFIX + secrets.token_hex(8)
        path = base / (name + _LOCK)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Between the two another run may have swept it up.
        if path.exists():
            return name, lock
        os.close(lock)


def sweep(base: Path) -> None:
    """Remove the folders of runs that are no more."""
    for path in base.glob(f"{_PREFIX}*{_LOCK}"):
        with suppress(OSError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path.with_name(path.name.removesuffix(_LOCK)))
                path.unlink(missing_ok=True)
            finally:
                os.close(lock)


def remove(folder: Path) -> None:
    """Remove a folder with all in it, also what its owner may not enter."""

    def open_up(_function: Any, path: str, _error: Any) -> None:
        # Nobody of the run lives any more who could put a link in the place.
        with suppress(OSError):
            parent = os.path.dirname(path)
            os.chmod(parent, 0o700)
            if not os.path.islink(path):
                os.chmod(path, 0o700)

    for _ in range(1000):  # each time one level deeper
        if not folder.exists():
            return
        shutil.rmtree(folder, onerror=open_up)


def read_plain(folder: Path, name: str, most: int) -> bytes | None:
    """The content of a plain file, None when there is none. Raises `BadResultFile`."""
    try:
        descriptor = os.open(
            folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except FileNotFoundError:
        return None
    except OSError:
        raise BadResultFile(f"{name} is no plain file that can be read: write one") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadResultFile(f"{name} is no plain file: write one")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise BadResultFile(
                f"{name} is larger than {most // 1024} KiB: write less, or a file of another name"
            )
        return data
    finally:
        os.close(descriptor)


Known = dict[str, tuple[int, int]]


def known_files(folder: Path) -> Known:
    """The plain files in a folder and when they were changed, to tell later which are new."""
    return {name: (found.st_mtime_ns, found.st_size) for name, found in _plain(folder)}


def artifacts(folder: Path, before: Known, most_bytes: int) -> list[dict[str, Any]]:
    """The plain files that are new or changed, by path: bytes and SHA-256; at most a hundred."""
    found: list[dict[str, Any]] = []
    for name, entry in sorted(_plain(folder)):
        if before.get(name) == (entry.st_mtime_ns, entry.st_size) or "__pycache__" in name:
            continue
        with suppress(OSError, BadResultFile):
            data = read_plain(folder, name, most_bytes) or b""
            digest = hashlib.sha256(data).hexdigest()
            found.append({"path": _shown(name), "bytes": len(data), "sha256": digest})
        if len(found) == MOST_ARTIFACTS:
            break
    return found


def _plain(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for root, _folders, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield str(path.relative_to(folder)), found


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()[:300]

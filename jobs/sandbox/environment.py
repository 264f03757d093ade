"""The Python environment that a project runs in, cached by what its requirements.txt says.

Packages are fetched in a step of its own, which has the network and not the project. Wheels only,
unless the operator allows builds: to build a package is to run its code.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs import Context
from jobs.errors import Cancelled
from jobs.sandbox import step
from jobs.sandbox.errors import DependencyFailed, DependencyRefused, SandboxUnavailable
from jobs.sandbox.folders import read_plain, remove
from jobs.sandbox.options import Options
from jobs.sandbox.step import Bounds, Step
from jobs.sandbox.walls import Limits, Room, Walls

FILE = "requirements.txt"
PLACE = "/environment"
MOST_BYTES = 256 * 1024
KEPT = 20
SECONDS = 600.0
SIZE_MB = 2048
MEMORY_MB = 1024
_LOCK = ".lock"

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|[~=!<>]=|[<>])\s*[A-Za-z0-9.*+!_-]+"
_REQUIREMENT = re.compile(
    rf"{_NAME}\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*(?:{_VERSION}\s*(?:,\s*{_VERSION}\s*)*)?"
    r"(?:;[A-Za-z0-9_.'\"<>=!()~,\s-]*)?"
)
_HASH = re.compile(r"--hash=sha(?:256|384|512):[0-9a-f]{64,128}")


def requirements(project: Path) -> str | None:
    """What the project's requirements.txt asks for, a line each; None when it has none.

    Raises `DependencyRefused` for what is more than names, versions and hashes of packages.
    """
    data = read_plain(project, FILE, MOST_BYTES)
    if data is None:
        return None
    text = data.decode("utf-8-sig", "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        words = re.sub(r"(^|\s)#.*$", "", line).strip()
        if words:
            lines.append(_checked(words, number))
    return "".join(f"{line}\n" for line in lines)


def _checked(words: str, number: int) -> str:
    parts = words.split()
    hashes = [part for part in parts if part.startswith("--hash=")]
    named = " ".join(part for part in parts if not part.startswith("--hash="))
    if not _REQUIREMENT.fullmatch(named) or not all(map(_HASH.fullmatch, hashes)):
        raise DependencyRefused(
            f"{FILE} has {named[:60]!r} in its {number}. line: only packages of the index are "
            "installed, as NAME or NAME==VERSION; no options, addresses, paths or other files"
        )
    return " ".join([named, *hashes])


@contextmanager
def environment(
    walls: Walls,
    options: Options,
    context: Context,
    wanted: str,
    base: Path,
    show: Callable[[str, str], None],
) -> Iterator[Path]:
    """The folder of an environment with these requirements, made now unless it is there.

    While it is used nobody removes it. Raises `DependencyFailed`, `SandboxUnavailable`.
    """
    cache = base / "environments"
    cache.mkdir(mode=0o755, exist_ok=True)
    key = _key(options, wanted)
    place = cache / key
    lock = os.open(cache / (key + _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _hold(lock, context)
        if not place.exists():
            _make(walls, options, context, wanted, place, show)
        os.utime(cache / (key + _LOCK))
        fcntl.flock(lock, fcntl.LOCK_SH)
        _prune(cache)
        yield place
    finally:
        os.close(lock)


def _key(options: Options, wanted: str) -> str:
    try:
        python = os.stat(options.python)
    except OSError:
        raise SandboxUnavailable(
            f"{options.python} is not there: name an interpreter in CAPATAZ_GITHUB_PYTHON"
        ) from None
    told = [options.python, python.st_mtime_ns, python.st_size, options.index, options.builds]
    return hashlib.sha256(json.dumps([*told, wanted]).encode()).hexdigest()


def _hold(lock: int, context: Context) -> None:
    """Wait for whoever makes the same environment."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if context.wait(0.1):
                raise Cancelled from None
        else:
            return


def _make(
    walls: Walls,
    options: Options,
    context: Context,
    wanted: str,
    place: Path,
    show: Callable[[str, str], None],
) -> None:
    folder = place.with_name(f"new-{secrets.token_hex(8)}")
    try:
        _lay_out(folder, options.python)
        if wanted:
            show("stdout", f"installing what {FILE} asks for\n")
            for path in (folder, *folder.rglob("*")):
                walls.own(path)
            _install(walls, options, context, wanted, folder)
            if walls.is_root:
                _take_back(folder)
        folder.rename(place)
    finally:
        remove(folder)


def _lay_out(folder: Path, python: str) -> None:
    """What makes a folder an environment of this interpreter."""
    (folder / "bin").mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(python)
    home = os.path.dirname(os.path.realpath(python))
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")


def _install(walls: Walls, options: Options, context: Context, wanted: str, folder: Path) -> None:
    asked = folder / FILE
    asked.write_text(wanted)
    asked.chmod(0o644)
    room = Room(
        PLACE,
        {PLACE: folder},
        {"/installer": _installer(folder.parent)},
        {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        network=True,
    )
    room = Room(
        room.at,
        room.writable,
        room.readable,
        {**room.variables, "PYTHONPATH": walls.place(room, "/installer")},
        network=True,
    )
    index = ["--index-url", options.index] if options.index else []
    words = [
        *(walls.place(room, f"{PLACE}/bin/python"), "-m", "pip", "install", "--isolated"),
        *("--no-input", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar=off"),
        *("--no-warn-script-location", "--root-user-action=ignore", "--retries=2"),
        *([] if options.builds else ["--only-binary=:all:"]),
        *(*index, "-r", walls.place(room, f"{PLACE}/{FILE}")),
    ]
    seconds = min(SECONDS, max(1.0, context.remaining()))
    bounds = Bounds(seconds, MEMORY_MB, 8, SIZE_MB, folder, 200_000)
    limits = Limits(MEMORY_MB, SIZE_MB, int(seconds) + 1, None)
    ended = Step(walls, bounds, context, lambda _name, _text: None).run(room, limits, words)
    if ended.broke:
        what = {step.TIME: f"took longer than {seconds:.0f} s", step.SIZE: "is too large"}
        raise DependencyFailed(
            f"what {FILE} asks for {what.get(ended.broke, 'could not be installed')}: ask for less"
        )
    if ended.exit_code:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
        last = " ".join(said or ended.stderr.split())[-600:]
        only = "" if options.builds else " (only wheels are installed)"
        raise DependencyFailed(f"what {FILE} asks for could not be installed{only}: {last}")


def _installer(cache: Path) -> Path:
    """Our own pip, where whoever steps run as can read it."""
    found = importlib.util.find_spec("pip")
    if found is None or found.origin is None:
        raise SandboxUnavailable(
            f"pip is not installed beside Capataz, so that no {FILE} can be: install it there"
        )
    source = Path(found.origin).parent
    stamp = hashlib.sha256(f"{source}{source.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    place = cache / f"installer-{stamp}"
    if not place.exists():
        new = cache / f"new-{secrets.token_hex(8)}"
        try:
            shutil.copytree(source, new / "pip", ignore=shutil.ignore_patterns("__pycache__"))
            for root, folders, names in os.walk(new):
                for name in (*folders, *names, ""):
                    path = Path(root, name)
                    path.chmod(0o755 if path.is_dir() else 0o644)
            with suppress(OSError):  # another run was quicker
                new.rename(place)
        finally:
            remove(new)
    return place


def _take_back(folder: Path) -> None:
    """What is cached belongs to us, so that nobody whom programs run as may change it."""
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.lchown(os.path.join(root, name), 0, 0)
    os.chown(folder, 0, 0)
    folder.chmod(0o755)


def _prune(cache: Path) -> None:
    """Remove the environments that were not used for longest, but those in use."""
    locks = sorted(cache.glob(f"*{_LOCK}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in locks[KEPT:]:
        with suppress(OSError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path.with_name(path.name.removesuffix(_LOCK)))
            finally:
                os.close(lock)

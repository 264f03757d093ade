"""Programs of Debian packages that the tests need; root has them installed when they are not."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

APT_GET = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")


class ProgramMissingError(Exception):
    """A program is not here and cannot be installed; the text says what to do."""


def find_or_install(
    package: str,
    find: Callable[[], Path | None],
    remedy: str,
    meanwhile: AbstractContextManager[None],
) -> Path:
    """What `find` finds, if need be after the package was installed within `meanwhile`.

    Raises `ProgramMissingError` with the remedy.
    """
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which(APT_GET[0]):
        with _alone():
            found = find()
            if found is None:
                with meanwhile:
                    _install(package, remedy)
                found = find()
    if found is None:
        raise ProgramMissingError(remedy)
    return found


@contextmanager
def _alone() -> Iterator[None]:
    """Test processes beside each other take turns: apt-get waits for some of its locks only."""
    with (Path(tempfile.gettempdir()) / "capataz-packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(package: str, remedy: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update",), ("install", "-y", "--no-install-recommends", package)):
        done = subprocess.run(
            [*APT_GET, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        if done.returncode != 0:
            raise ProgramMissingError(f"{remedy}; apt-get said:\n{done.stdout[-2000:]}")

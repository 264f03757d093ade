"""Debian's own browser, for the tests of the dashboard; root has it installed if need be."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.servers.debian import find_or_install

REMEDY = "Chromium is missing: as root, 'apt-get install chromium'"


def chromium() -> Path:
    """Where it is, installed first if need be.

    Raises `ProgramMissingError` with the one command that helps.
    """
    with _turns():
        return find_or_install("chromium", _installed, REMEDY, nullcontext())


def _installed() -> Path | None:
    found = shutil.which("chromium")
    return Path(found) if found else None


@contextmanager
def _turns() -> Iterator[None]:
    """Tests run in several processes, and each may find it missing."""
    with (Path(tempfile.gettempdir()) / "capataz-chromium.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

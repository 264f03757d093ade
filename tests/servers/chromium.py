"""Debian's own browser, for the tests of the dashboard; root has it installed if need be."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

from tests.servers.debian import find_or_install

REMEDY = "Chromium is missing: as root, 'apt-get install chromium'"


def chromium() -> Path:
    """Where it is, installed first if need be.

    Raises `ProgramMissingError` with the one command that helps.
    """
    return find_or_install("chromium", _installed, REMEDY, nullcontext())


def _installed() -> Path | None:
    found = shutil.which("chromium")
    return Path(found) if found else None

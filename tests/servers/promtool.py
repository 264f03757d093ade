"""Prometheus' own check of metrics; on Debian, root has it installed when it is not there."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

from tests.servers.debian import find_or_install

REMEDY = "promtool is missing: as root, 'apt-get install prometheus'"


def promtool() -> Path:
    """Where it is, installed first if need be.

    Raises `ProgramMissingError` with the one command that helps.
    """
    return find_or_install("prometheus", _installed, REMEDY, nullcontext())


def complaints(metrics: bytes) -> str:
    """What it has against these metrics; nothing when they are as they should be."""
    done = subprocess.run(
        [promtool(), "check", "metrics"],
        check=False,
        input=metrics,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.stdout.decode() or ("" if done.returncode == 0 else f"exit {done.returncode}")


def _installed() -> Path | None:
    found = shutil.which("promtool")
    return Path(found) if found else None

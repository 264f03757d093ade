"""Where PostgreSQL's server programs are; on Debian, root has them installed when they are not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.debian import find_or_install

NEEDED = ("initdb", "pg_ctl", "postgres")
REMEDY = (
    "PostgreSQL's server programs are missing: as root, 'apt-get install postgresql', "
    "or name a server with TEST_DATABASE_URL"
)
# Debian's own place to say that an installed server shall not be set up and started.
NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/capataz-tests.conf")


def server_programs() -> Path:
    """The folder with `initdb`, `pg_ctl` and `postgres`, installed first if need be.

    Raises `ProgramMissingError` with the one command that helps.
    """
    return find_or_install("postgresql", _installed, REMEDY, _no_cluster())


def _installed() -> Path | None:
    for folder in _candidates():
        if all(os.access(folder / name, os.X_OK) for name in NEEDED):
            return folder
    return None


def _candidates() -> Iterator[Path]:
    if shutil.which("pg_config"):
        told = subprocess.run(
            ["pg_config", "--bindir"], check=False, capture_output=True, text=True
        )
        yield Path(told.stdout.strip())
    # Debian keeps one folder a version and puts none of them in PATH.
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda folder: _number(folder.parent.name), reverse=True)
    in_path = shutil.which("pg_ctl")
    if in_path:
        yield Path(in_path).resolve().parent


def _number(version: str) -> float:
    try:
        return float(version)
    except ValueError:
        return 0


@contextmanager
def _no_cluster() -> Iterator[None]:
    NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    NO_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        NO_CLUSTER.unlink(missing_ok=True)

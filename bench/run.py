"""`make bench`: measure the scenarios on both databases and print them with what they ran on."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import bench.scenarios
import migrations
from bench.figures import Figure
from database import Database, sqlite_version
from tests.servers.postgres import postgres_server

ROOT = Path(__file__).resolve().parents[1]
DATABASES = ("sqlite", "postgresql")

Fresh = Callable[[], AbstractContextManager[str]]


def main() -> int:
    names = [module.name for module in pkgutil.iter_modules(bench.scenarios.__path__)]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(names)}; default all")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--database", choices=DATABASES, action="append", help="default both")
    given = parser.parse_args()
    unknown = set(given.scenario) - set(names)
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; known: {', '.join(names)}")
    print(_machine())
    first, *_ = kinds = given.database or DATABASES
    for kind in kinds:
        with _source(kind) as fresh:
            for name in given.scenario or names:
                scenario = importlib.import_module(f"bench.scenarios.{name}")
                if kind != first and getattr(scenario, "WITHOUT_DATABASE", False):
                    continue
                _print(kind, scenario, [_measure(fresh, scenario) for _ in range(given.repeat)])
    return 0


def _measure(fresh: Fresh, scenario: ModuleType) -> list[Figure]:
    with fresh() as url:
        database = Database(url)
        migrations.migrate(database)
        database.close()
        figures: list[Figure] = scenario.measure(url)
        return figures


@contextmanager
def _source(kind: str) -> Iterator[Fresh]:
    """Where fresh databases come from: files, or a durable server of our own."""
    if kind == "sqlite":
        yield _sqlite_file
        return
    with postgres_server(fsync=True) as server:
        yield server.fresh_database


@contextmanager
def _sqlite_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="capataz-bench-") as folder:
        yield f"sqlite:///{folder}/capataz.db"


def _machine() -> str:
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    state = " with changes" if _git("status", "--porcelain") else ""
    return (
        f"commit {commit}{state}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"SQLite {sqlite_version()}\nmedian of all runs (lowest to highest)"
    )


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _print(kind: str, scenario: ModuleType, runs: list[list[Figure]]) -> None:
    print(f"\n{kind}: {(scenario.__doc__ or '').splitlines()[0]}")
    for figures in zip(*runs, strict=True):
        values = [figure.value for figure in figures]
        name, _, unit, digits = figures[0]
        print(
            f"  {name:52} {statistics.median(values):>10,.{digits}f} {unit:7}"
            f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())

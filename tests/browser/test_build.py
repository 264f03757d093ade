"""How the page is built, and what is said where it cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.project import ROOT

SOURCES = ("index.html", "package-lock.json", "vite.config.ts", "tsconfig.json", "node.txt")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout that was never built, on a machine without Node and without a network."""
    folder = tmp_path / "capataz"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "dashboard.sh", folder / "scripts")
    shutil.copytree(ROOT / "dashboard" / "src", folder / "dashboard" / "src")
    for name in SOURCES:
        shutil.copy(ROOT / "dashboard" / name, folder / "dashboard")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname", "find", "flock", "ln", "mkdir", "mv", "rm", "touch"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return folder


def told(copy: Path, what: str) -> subprocess.CompletedProcess[str]:
    """What the script says."""
    return subprocess.run(
        [copy / "scripts" / "dashboard.sh", what],
        check=False,
        env={"PATH": str(copy.parent / "programs"), "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
        | {"HOME": str(copy.parent), "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_node_a_build_says_what_is_missing(copy: Path) -> None:
    done = told(copy, "build")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dashboard: Node could not be had: install 20.19, 22.12 or newer")


def test_without_node_whoever_can_do_without_the_page_goes_on(copy: Path) -> None:
    done = told(copy, "try")
    assert done.returncode == 0
    last = done.stderr.splitlines()[-1]
    assert last == "dashboard: not built; everything else runs without it"


def test_what_is_built_already_is_not_built_again(copy: Path) -> None:
    (copy / "dashboard" / "dist").mkdir()
    (copy / "dashboard" / "dist" / "index.html").write_text("built")
    done = told(copy, "build")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    changed = copy / "dashboard" / "src" / "main.tsx"
    later = (copy / "dashboard" / "dist" / "index.html").stat().st_mtime + 1
    os.utime(changed, (later, later))
    assert told(copy, "build").returncode == 1

"""Fixtures of the sandbox: bubblewrap, a forge, and a folder for the runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jobs import Context
from jobs.builtin.github import github
from tests.sandbox.forge import OWNER, Forge
from tests.servers.debian import find_or_install

CANARY = "canary-4f1d2c"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """What a run needs is there; root can have it installed."""
    for package, path in (("bubblewrap", "bwrap"), ("git", "git"), ("python3", "/usr/bin/python3")):
        find_or_install(package, partial(_find, path), f"install {package}", nullcontext())


def _find(path: str) -> Path | None:
    found = shutil.which(path)
    return None if found is None else Path(found)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that others may look into, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="capataz-sandbox-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def the_forge(open_folder: Path) -> Iterator[Forge]:
    folder = open_folder / "forge"
    folder.mkdir()
    opened = Forge(folder)
    yield opened
    opened.close()


@pytest.fixture
def forge(the_forge: Forge) -> Forge:
    the_forge.requests.clear()
    return the_forge


@pytest.fixture
def base(open_folder: Path) -> Path:
    """Where the runs have their folders, and the environments that they share."""
    return open_folder / "runs"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, the_forge: Forge, base: Path) -> pytest.MonkeyPatch:
    """What the operator set; `setenv` changes it. A secret is there that nobody may see."""
    monkeypatch.setenv("CAPATAZ_GITHUB_HOSTS", f"github.com,http://{the_forge.host}")
    monkeypatch.setenv("CAPATAZ_GITHUB_OWNERS", f"{OWNER},moved,private,broken")
    monkeypatch.setenv("CAPATAZ_GITHUB_FOLDER", str(base))
    monkeypatch.setenv("CANARY_PASSWORD", CANARY)
    return monkeypatch


@pytest.fixture
def run(settings: pytest.MonkeyPatch, forge: Forge) -> Run:
    """Run a repository of the forge as an order of type `github` does."""

    def run(name: str, *, seconds: float = 60, url: str = "", **payload: Any) -> dict[str, Any]:
        context = Context("order", timeout=seconds)
        return github(context, name, url or forge.url(name), **payload)

    return run

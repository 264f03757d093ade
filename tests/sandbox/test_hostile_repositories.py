"""What a hostile repository can't do, and beside each that git by itself would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobs.sandbox import errors
from tests.sandbox.conftest import Run
from tests.sandbox.forge import Forge

FINE = {"main.py": "print('fine')\n"}


def clone(forge: Forge, url: str, folder: Path, *words: str, **variables: str) -> None:
    """As a careless hand would."""
    subprocess.run(
        ["git", "-c", "protocol.ext.allow=always", "clone", "-q", *words, url, str(folder)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_links_lead_nowhere(run: Run, forge: Forge, tmp_path: Path) -> None:
    code = "import os\nprint(os.path.islink('link'), open('link').read())\n"
    forge.make("links", {"main.py": code})
    (forge.work("links") / "link").symlink_to("/etc/passwd")
    (forge.work("links") / "entry.py").symlink_to("/etc/passwd")
    forge.commit("links")
    clone(forge, forge.url("links"), tmp_path / "links")
    assert "root:" in (tmp_path / "links" / "link").read_text()
    assert run("links")["stdout"] == "False /etc/passwd\n"
    with pytest.raises(errors.ProgramRaised, match="SyntaxError"):
        run("links", entry="entry.py")


def test_submodules_are_not_fetched(run: Run, forge: Forge, tmp_path: Path) -> None:
    commit = forge.make("other", FINE)
    modules = f'[submodule "other"]\n\tpath = other\n\turl = {forge.url("other")}\n'
    forge.make("modules", FINE | {".gitmodules": modules})
    subprocess.run(
        ["git", "update-index", "--add", "--cacheinfo", f"160000,{commit},other"],
        cwd=forge.work("modules"),
        check=True,
    )
    (forge.work("modules") / "other").mkdir()
    forge.commit("modules")
    forge.requests.clear()
    clone(forge, forge.url("modules"), tmp_path / "modules", "--recurse-submodules")
    assert any("/other" in path for path in forge.requests)
    forge.requests.clear()
    assert run("modules")["stdout"] == "fine\n"
    assert not any("/other" in path for path in forge.requests)


def test_hooks_and_filters_do_not_run(
    run: Run, forge: Forge, open_folder: Path, tmp_path: Path, settings: pytest.MonkeyPatch
) -> None:
    """Not even those that the operator's own configuration has."""
    marks = open_folder / "marks"
    marks.mkdir(exist_ok=True)
    marks.chmod(0o777)
    hooks = open_folder / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {marks}/hook\n")
    (hooks / "post-checkout").chmod(0o755)
    configuration = open_folder / "gitconfig"
    configuration.write_text(
        f"[init]\n\ttemplateDir = {hooks.parent}\n[core]\n\thooksPath = {hooks}\n"
        f'[filter "lfs"]\n\tsmudge = "touch {marks}/filter; cat"\n'
    )
    forge.make("hooked", FINE | {".gitattributes": "*.bin filter=lfs\n", "a.bin": "pointer\n"})
    clone(forge, forge.url("hooked"), tmp_path / "hooked", GIT_CONFIG_GLOBAL=str(configuration))
    assert {path.name for path in marks.iterdir()} == {"hook", "filter"}
    for path in marks.iterdir():
        path.unlink()
    settings.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    settings.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    assert run("hooked")["stdout"] == "fine\n"
    assert list(marks.iterdir()) == []


def test_a_url_that_is_a_command(run: Run, forge: Forge, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    url = f"ext::sh -c touch% {mark}"
    clone(forge, url, tmp_path / "ext")
    assert mark.exists()
    mark.unlink()
    for text in (url, f"--upload-pack=touch {mark}", f"file://{tmp_path}"):
        with pytest.raises(errors.MalformedUrl):
            run("x", url=text)
    assert not mark.exists()


def test_a_bomb(run: Run, forge: Forge, base: Path) -> None:
    """Few objects that make very many files."""
    forge.make("bomb", FINE)
    blob = forge.git("bomb", "rev-parse", "main:main.py").strip()
    entry = f"100644 blob {blob}"
    for _ in range(5):
        listing = "".join(f"{entry}\t{number}.py\n" for number in range(20))
        made = subprocess.run(
            ["git", "-c", "safe.directory=*", "mktree"],
            cwd=forge.work("bomb").parents[1] / "ana" / "bomb.git",
            input=listing,
            text=True,
            capture_output=True,
            check=True,
        )
        entry = f"040000 tree {made.stdout.strip()}"
    tree = entry.split()[2]
    commit = forge.git("bomb", "commit-tree", tree, "-m", "bomb").strip()
    forge.git("bomb", "update-ref", "refs/heads/main", commit)
    with pytest.raises(errors.TooLarge, match="more files than a project may have"):
        run("bomb")
    assert list(base.glob("run-*")) == []

"""What requirements.txt asks for: installed once, from the index alone, with no code run."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.sandbox import errors
from tests.sandbox import wheels
from tests.sandbox.conftest import Run
from tests.sandbox.forge import Forge

GREET = "import greet\nprint(greet.word('Ana'))\n"


@pytest.fixture
def index(forge: Forge, open_folder: Path, settings: pytest.MonkeyPatch) -> Path:
    """An index with a package, one that needs it, and one that comes as source."""
    folder = open_folder / "forge" / "files" / "simple"
    if not folder.exists():
        wheels.wheel(
            folder,
            "greet",
            {"greet/__init__.py": "from greet.deep import word\n"}
            | {"greet/deep.py": "def word(name): return f'hello {name}'\n"},
        )
        wheels.wheel(folder, "polite", {"polite.py": "import greet\n"}, needs="greet>=1")
        wheels.source(folder)
    settings.setenv("CAPATAZ_GITHUB_INDEX", f"http://{forge.host}/files/simple")
    return folder


@pytest.mark.usefixtures("index")
def test_a_wheel_is_installed_once(run: Run, forge: Forge) -> None:
    forge.make("greeter", {"main.py": GREET, "requirements.txt": "# ours\npolite==1.0  # yes\n"})
    assert run("greeter")["stdout"] == "hello Ana\n"
    assert any(path.endswith(".whl") for path in forge.requests)
    forge.requests.clear()
    assert run("greeter")["stdout"] == "hello Ana\n"
    assert not any("files" in path for path in forge.requests), "it is cached"


@pytest.mark.usefixtures("index")
def test_an_order_may_do_without(run: Run, forge: Forge) -> None:
    forge.make("greeter2", {"main.py": GREET, "requirements.txt": "greet\n"})
    with pytest.raises(errors.ProgramRaised, match="No module named 'greet'"):
        run("greeter2", requirements=False)
    forge.make("bare", {"main.py": "print(1)\n"})
    with pytest.raises(errors.DependencyFailed, match="leave requirements out"):
        run("bare", requirements=True)


@pytest.mark.usefixtures("index")
def test_what_is_not_there(run: Run, forge: Forge) -> None:
    forge.make("wishful", {"main.py": GREET, "requirements.txt": "greet==9\n"})
    with pytest.raises(errors.DependencyFailed, match=r"only wheels.*greet==9"):
        run("wishful")


@pytest.mark.usefixtures("index")
def test_no_code_runs_to_install(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    files = {"main.py": "import built\nprint(built.WORD)\n", "requirements.txt": "built\n"}
    forge.make("source", files)
    with pytest.raises(errors.DependencyFailed, match="only wheels are installed"):
        run("source")
    settings.setenv("CAPATAZ_GITHUB_BUILDS", "yes")
    assert run("source")["stdout"] == "its code ran while it was built\n"


def test_a_program_cannot_change_what_others_get(
    run: Run, forge: Forge, index: Path, base: Path
) -> None:
    code = "import greet\nopen(greet.__file__, 'a').write('x')\n"
    forge.make("spoiler", {"main.py": code, "requirements.txt": "greet==1.0\n"})
    with pytest.raises(errors.ProgramRaised, match=r"Read-only file system|denied"):
        run("spoiler")


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://127.0.0.1:1/simple",
        "-r other.txt",
        "-r /etc/passwd",
        "-e .",
        ".",
        "./local",
        "/tmp/x.whl",
        "git+https://github.com/ana/sum",
        "greet @ http://169.254.169.254/x.whl",
        "http://169.254.169.254/x.whl",
        "file:///etc/passwd",
        "greet; python_version > '3' \\\n --find-links=/",
        "${SECRET}",
        "greet --global-option=x",
    ],
)
def test_lines_that_reach_beyond_the_index(run: Run, forge: Forge, line: str) -> None:
    forge.make("reaching", {"main.py": "print(1)", "requirements.txt": f"# fine\n{line}\n"})
    with pytest.raises(errors.DependencyRefused, match="only packages of the index"):
        run("reaching")


@pytest.mark.usefixtures("index")
def test_a_usual_file(run: Run, forge: Forge) -> None:
    text = "\ufeff# comment\n\ngreet[extra] >=1, <2 ; python_version >= '3.8'\npolite~=1.0\n"
    forge.make("usual", {"main.py": GREET, "requirements.txt": text})
    assert run("usual")["stdout"] == "hello Ana\n"

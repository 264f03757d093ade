"""Each way to fail has a type of its own, and a sentence that helps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jobs import Context
from jobs.errors import Cancelled, Fail, PayloadError
from jobs.registry import get
from jobs.sandbox import errors
from jobs.sandbox.walls import Walls
from manager.executor import _failed
from tests.sandbox.conftest import Run
from tests.sandbox.forge import Forge

FINE = {"main.py": "print('fine')\n"}


def failing(run: Run, name: str, error: type[Exception], match: str, **payload: object) -> str:
    """Run it; what the order's `traceback` shows."""
    with pytest.raises(error, match=match) as caught:
        run(name, **payload)
    return _failed("error", caught.value, 0.0).traceback or ""


def test_a_malformed_url_is_refused_when_it_is_submitted() -> None:
    with pytest.raises(PayloadError, match=r"/payload/url.*write https://HOST/OWNER/REPOSITORY"):
        get("github").check({"name": "x", "url": "ext::sh -c id"})
    with pytest.raises(PayloadError, match="/payload/ref"):
        get("github").check({"name": "x", "url": "https://github.com/a/b", "ref": "--x"})
    get("github").check({"name": "x", "url": "https://github.com/a/b", "args": ["1"]})


def test_what_is_not_allowed_is_not_asked_for(
    run: Run, forge: Forge, settings: pytest.MonkeyPatch
) -> None:
    failing(run, "x", errors.HostNotAllowed, "HOSTS", url="https://evil.example/ana/x")
    failing(run, "x", errors.OwnerNotAllowed, "OWNERS", url=forge.url("x", owner="bob"))
    failing(run, "x", errors.VariableNotAllowed, "GITHUB_ENV", env=["CANARY_PASSWORD"])
    settings.setenv("CAPATAZ_GITHUB_ENV", "NOT_SET")
    failing(run, "x", errors.VariableNotAllowed, "not set", env=["NOT_SET"])
    assert forge.requests == []


def test_a_repository_that_is_not_there(run: Run, forge: Forge) -> None:
    failing(run, "absent", errors.RepositoryNotFound, "is not there, or is private")
    failing(run, "x", errors.RepositoryNotFound, "private", url=forge.url("x", owner="private"))
    failing(run, "x", errors.CloneFailed, "500", url=forge.url("x", owner="broken"))


def test_a_redirect_is_not_followed(run: Run, forge: Forge) -> None:
    forge.make("fine", FINE)
    failing(run, "x", errors.RepositoryNotFound, "moved", url=forge.url("fine", owner="moved"))
    assert {path.split("/")[1] for path in forge.requests} == {"moved"}


def test_a_ref(run: Run, forge: Forge) -> None:
    first = forge.make("refs", {"main.py": "print('first')\n"})
    forge.git("refs", "tag", "v1")
    forge.git("refs", "branch", "old/one")
    second = forge.make("refs", {"main.py": "print('second')\n"})
    for ref, commit in ((None, second), ("main", second), ("v1", first), ("old/one", first)):
        assert run("refs", ref=ref)["commit"] == commit
    assert run("refs", ref=first)["stdout"] == "first\n"
    failing(run, "refs", errors.RefNotFound, "no branch, tag or commit 'v2'", ref="v2")
    failing(run, "refs", errors.RefNotFound, "no branch", ref="0" * 40)


def test_an_empty_repository(run: Run, forge: Forge) -> None:
    forge.make("empty", {})
    forge.git("empty", "update-ref", "-d", "refs/heads/main")
    failing(run, "empty", errors.RefNotFound, "is empty")


def test_too_large(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    forge.make("large", FINE | {"data": os.urandom(3 * 1024 * 1024)})
    settings.setenv("CAPATAZ_GITHUB_SIZE_MB", "2")
    failing(run, "large", errors.TooLarge, "CAPATAZ_GITHUB_SIZE_MB")
    settings.setenv("CAPATAZ_GITHUB_SIZE_MB", "20")
    assert run("large")["exitCode"] == 0


def test_a_clone_that_takes_too_long(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    forge.make("fine", FINE)
    with forge.holding():
        settings.setenv("CAPATAZ_GITHUB_CLONE_SECONDS", "0.5")
        failing(run, "fine", errors.CloneTimedOut, "CAPATAZ_GITHUB_CLONE_SECONDS")


def test_no_main(run: Run, forge: Forge) -> None:
    forge.make("nomain", {"app.py": "print('app')", "sub/main.py": "print('sub')"})
    failing(run, "nomain", errors.EntryNotFound, "no main.py: it has app.py")
    assert run("nomain", entry="sub/main.py")["stdout"] == "sub\n"


def test_an_exception_with_its_traceback(run: Run, forge: Forge) -> None:
    forge.make("raises", {"main.py": "def f():\n    raise ValueError('no such fruit')\nf()\n"})
    shown = failing(run, "raises", errors.ProgramRaised, "^ValueError: no such fruit")
    assert 'File "/project/main.py", line 2, in f' in shown
    forge.make("syntax", {"main.py": "def f(:\n"})
    shown = failing(run, "syntax", errors.ProgramRaised, "^SyntaxError: ")
    assert "def f(:" in shown


def test_an_exit_code(run: Run, forge: Forge) -> None:
    forge.make("exits", {"main.py": "import sys\nsys.exit('no fruit left')\n"})
    shown = failing(run, "exits", errors.ProgramExited, "exit code 1\n")
    assert "no fruit left" in shown
    forge.make("exits3", {"main.py": "import sys\nsys.exit(3)\n"})
    failing(run, "exits3", errors.ProgramExited, "exit code 3")


def test_killed(run: Run, forge: Forge) -> None:
    forge.make("killed", {"main.py": "import os\nos.kill(os.getpid(), 9)\n"})
    failing(run, "killed", errors.ProgramKilled, "SIGKILL")
    forge.make("aborts", {"main.py": "import os\nos.abort()\n"})
    failing(run, "aborts", errors.ProgramKilled, "SIGABRT")


def test_out_of_time(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    forge.make("slow", {"main.py": "print('began')\nimport time\ntime.sleep(60)\n"})
    shown = failing(run, "slow", errors.ProgramTimedOut, "longer timeout", seconds=3)
    assert "began" in shown
    forge.make("busy", {"main.py": "while True: pass\n"})
    settings.setenv("CAPATAZ_GITHUB_CPU_SECONDS", "1")
    failing(run, "busy", errors.ProgramTimedOut, "CAPATAZ_GITHUB_CPU_SECONDS")


def test_out_of_memory(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CAPATAZ_GITHUB_MEMORY_MB", "64")
    forge.make("greedy", {"main.py": "a = []\nwhile True: a.append(bytearray(10_000_000))\n"})
    failing(run, "greedy", errors.MemoryExceeded, "64 MiB")
    family = "import os, time\nfor _ in range(6):\n  if not os.fork():\n    a = bytearray(b'x')"
    family += " * 30_000_000\n    time.sleep(60)\ntime.sleep(60)\n"
    forge.make("family", {"main.py": family})
    failing(run, "family", errors.MemoryExceeded, "with all that it started")


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("open('result.json', 'w').write('{')", "not JSON"),
        ("open('result.json', 'w').write('NaN')", "not JSON"),
        ("open('result.json', 'w').write('[' * 5000)", "not JSON"),
        ("open('result.json', 'w').write('1' * 300000)", "larger than"),
        ("import os; os.symlink('/etc/passwd', 'result.json')", "no plain file"),
        ("import os; os.mkfifo('result.json')", "no plain file"),
        ("import os; os.mkdir('result.json')", "no plain file"),
    ],
)
def test_a_result_that_is_none(run: Run, forge: Forge, code: str, match: str) -> None:
    forge.make("result", {"main.py": code + "\n"})
    failing(run, "result", errors.BadResultFile, match)


def test_told_to_stop(settings: pytest.MonkeyPatch, forge: Forge) -> None:
    forge.make("slow", {"main.py": "import time\ntime.sleep(60)\n"})
    context = Context("order", timeout=60)
    context.cancel()
    with pytest.raises(Cancelled):
        get("github").function(context, "slow", forge.url("slow"))


def test_without_bubblewrap_it_refuses(open_folder: Path) -> None:
    bin_ = open_folder / "bin"
    bin_.mkdir()
    (bin_ / "prlimit").symlink_to(str(shutil.which("prlimit")))
    with pytest.raises(errors.SandboxUnavailable, match=r"install.*bubblewrap.*SANDBOX=weak"):
        Walls("strict", str(bin_))
    assert issubclass(errors.SandboxUnavailable, Fail)
    assert Walls("weak", str(bin_)).level == "weak"
    broken = bin_ / "bwrap"
    broken.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    with pytest.raises(errors.SandboxUnavailable, match=r"No permissions.*userns.*weak"):
        Walls("strict", str(bin_))


def test_a_folder_that_is_not_safe(
    run: Run, forge: Forge, settings: pytest.MonkeyPatch, open_folder: Path
) -> None:
    shared = open_folder / "everybody"
    shared.mkdir()
    shared.chmod(0o777)
    settings.setenv("CAPATAZ_GITHUB_FOLDER", str(shared))
    failing(run, "x", errors.SandboxUnavailable, r"only this user may write to.*GITHUB_FOLDER")
    closed = open_folder / "closed"
    (closed / "runs").mkdir(parents=True, mode=0o755)
    closed.chmod(0o700)
    if os.geteuid() == 0:
        settings.setenv("CAPATAZ_GITHUB_FOLDER", str(closed / "runs"))
        failing(run, "x", errors.SandboxUnavailable, "keeps others out")


def test_the_weaker_level_is_told(
    run: Run, forge: Forge, settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("CAPATAZ_SANDBOX", "weak")
    forge.make(
        "fine", {"main.py": "import os, sys\nprint(os.getuid(), sys.argv, dict(os.environ))"}
    )
    result = run("fine", args=["a"])
    assert result["sandbox"] == "weak"
    assert "canary" not in result["stdout"]
    assert "the sandbox is weak" in capsys.readouterr().err

"""What a hostile program can't do, and beside each that outside of the sandbox it can."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobs.errors import Fail
from jobs.sandbox import errors
from tests.sandbox import probes
from tests.sandbox.conftest import CANARY, Run
from tests.sandbox.forge import Forge

Succeeds = Callable[..., bool]


@pytest.fixture
def outside(open_folder: Path, settings: pytest.MonkeyPatch) -> Succeeds:
    """Whether a probe succeeds with no sandbox about it."""

    def succeeds(code: str, aim: str = "") -> bool:
        folder = open_folder / "outside"
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "main.py", aim],
            cwd=folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return b"yes" in done.stdout

    return succeeds


@pytest.fixture
def inside(run: Run, forge: Forge, capsys: pytest.CaptureFixture[str]) -> Succeeds:
    """Whether it does in the sandbox; whatever it says, the secret is not in it."""

    def succeeds(code: str, aim: str = "") -> bool:
        forge.make("probe", {"main.py": code})
        try:
            result = run("probe", args=[aim] if aim else None)
            said, answer = str(result), result["stdout"]
        except Fail as error:
            said, answer = str(error) + "".join(getattr(error, "__notes__", ())), ""
        log = capsys.readouterr()
        if aim != CANARY:
            assert CANARY not in said + log.out + log.err
        assert "SyntaxError" not in said
        return "yes" in answer

    return succeeds


@pytest.fixture
def bystander(settings: pytest.MonkeyPatch) -> Iterator[int]:
    """A process of the host's, with the secret in its environment."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_the_environment(inside: Succeeds, outside: Succeeds) -> None:
    code = probes.program(probes.ENVIRONMENT)
    assert outside(code, CANARY)
    assert not inside(code, CANARY)
    told = "import os\nprint('yes' if 'CANARY_PASSWORD' in os.environ else os.environ)\n"
    assert outside(told)
    assert not inside(told)


def test_a_variable_is_given_by_name(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CAPATAZ_GITHUB_ENV", "FRUIT")
    settings.setenv("FRUIT", "apple")
    forge.make("fruit", {"main.py": "import os\nprint(sorted(os.environ), os.environ['FRUIT'])\n"})
    said = run("fruit", env=["FRUIT"])["stdout"]
    assert "apple" in said
    assert "CA" not in said


@pytest.mark.usefixtures("bystander")
def test_environments_of_other_processes(inside: Succeeds, outside: Succeeds) -> None:
    code = probes.program(probes.PROCESSES)
    assert outside(code, CANARY)
    assert not inside(code, CANARY)


def test_signals_to_other_processes(inside: Succeeds, outside: Succeeds, bystander: int) -> None:
    code = probes.program(probes.SIGNAL)
    assert outside(code, str(bystander))
    assert not inside(code, str(bystander))


def test_files_of_the_host(inside: Succeeds, outside: Succeeds, open_folder: Path) -> None:
    secret = open_folder / "secret"
    secret.write_text(CANARY)
    for path in ("/etc/passwd", str(secret), f"/proc/{os.getpid()}/cmdline"):
        assert outside(probes.program(probes.READ), path), path
        assert not inside(probes.program(probes.READ), path), path


def test_writing_outside_its_folder(inside: Succeeds, outside: Succeeds, open_folder: Path) -> None:
    shared = open_folder / "shared"
    shared.mkdir(exist_ok=True)
    shared.chmod(0o777)
    assert outside(probes.program(probes.WRITE), str(shared / "a"))
    assert not inside(probes.program(probes.WRITE), str(shared / "b"))
    assert not (shared / "b").exists()
    for path in ("/x", "/dev/x", "/etc/x", "/usr/x", "/environment/x", "/proc/sys/kernel/hostname"):
        assert not inside(probes.program(probes.WRITE), path), path
    for path in ("/tmp/x", "/project/x"):
        assert inside(probes.program(probes.WRITE), path), path


def test_the_network(
    inside: Succeeds, outside: Succeeds, forge: Forge, settings: pytest.MonkeyPatch
) -> None:
    code = probes.program(probes.CONNECT)
    assert outside(code, forge.host)
    for address in (forge.host, "169.254.169.254:80", "[fd00:ec2::254]:80", "localhost:80"):
        assert not inside(code, address), address
    settings.setenv("CAPATAZ_GITHUB_NETWORK", "yes")
    assert inside(code, forge.host), "the operator allowed it"


def test_sockets_without_a_file(inside: Succeeds, outside: Succeeds) -> None:
    code = probes.program(probes.ABSTRACT)
    name = f"capataz-probe-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        assert outside(code, name)
        assert not inside(code, name)


@pytest.mark.parametrize("name", list(probes.CALLS))
def test_calls_into_the_kernel(inside: Succeeds, outside: Succeeds, name: str) -> None:
    code = probes.call(name, platform.machine())
    assert outside(code, "-") or name in ("unshare", "add_key"), "not every host allows these"
    assert not inside(code, "-")


def test_forks(inside: Succeeds, outside: Succeeds) -> None:
    code = probes.program(probes.FORKS)
    assert outside(code, "-")
    assert not inside(code, "-")


def test_memory_and_disk(inside: Succeeds, outside: Succeeds, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CAPATAZ_GITHUB_MEMORY_MB", "64")
    settings.setenv("CAPATAZ_GITHUB_SIZE_MB", "20")
    for probe in (probes.MEMORY, probes.FILE):
        code = probes.program(probe)
        assert outside(code, str(200 * 1024 * 1024))
        assert not inside(code, str(200 * 1024 * 1024))
        assert inside(code, str(1024 * 1024))


def test_many_files_fill_no_disk(run: Run, forge: Forge, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CAPATAZ_GITHUB_SIZE_MB", "20")
    code = "n = 0\nwhile True:\n  n += 1\n  open(f'f{n}', 'wb').write(b'x' * 1_000_000)\n"
    forge.make("filler", {"main.py": code})
    with pytest.raises(errors.TooLarge, match="CAPATAZ_GITHUB_SIZE_MB"):
        run("filler")
    shm = "n = 0\nwhile True:\n  n += 1\n  open(f'/dev/shm/{n}', 'wb').write(b'x' * 1_000_000)\n"
    forge.make("filler", {"main.py": shm})
    with pytest.raises(errors.ProgramRaised, match="No space left"):
        run("filler")


DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not os.fork():
    os.setsid()
    if not os.fork():
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(50)', sys.argv[1]])
    os._exit(0)
print('began', flush=True)
time.sleep(float(sys.argv[2]))
"""


def marked(mark: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if mark in (process.info["cmdline"] or [])]


@pytest.mark.parametrize("seconds", ["0.5", "50"], ids=["at its end", "at its deadline"])
def test_a_daemon_that_is_deaf(run: Run, forge: Forge, open_folder: Path, seconds: str) -> None:
    mark = f"mark-{os.getpid()}"
    path = open_folder / "deaf.py"
    path.write_text(DEAF)
    subprocess.run([sys.executable, path, mark, "0.5"], check=True, capture_output=False)
    (left,) = marked(mark)
    left.kill()
    forge.make("deaf", {"main.py": DEAF})
    if seconds == "50":
        with pytest.raises(errors.ProgramTimedOut):
            run("deaf", args=[mark, seconds], seconds=4)
    else:
        assert run("deaf", args=[mark, seconds])["stdout"] == "began\n"
    assert all(process == left for process in marked(mark))


def test_a_flood_of_output(
    run: Run, forge: Forge, settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("CAPATAZ_GITHUB_OUTPUT_MB", "4")
    forge.make("flood", {"main.py": "while True: print('x' * 1000)\n"})
    with pytest.raises(errors.TooMuchOutput, match="CAPATAZ_GITHUB_OUTPUT_MB"):
        run("flood")
    assert len(capsys.readouterr().out) < 2 * 1024 * 1024
    forge.make("flood", {"main.py": "for n in range(3000): print(n, 'x' * 1000)\nprint('last')"})
    result = run("flood")
    assert len(result["stdout"]) <= 65_537
    assert result["stdout"].endswith("last\n")
    assert "more is printed than is shown here" in capsys.readouterr().out


def test_escape_codes_and_markup(
    run: Run, forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    code = r"print('\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J\x9b31m\u202eevil <b>x</b>\x00')"
    forge.make("codes", {"main.py": code + "\n"})
    assert run("codes")["stdout"] == "red  31mevil <b>x</b>\n"
    assert "\x1b" not in capsys.readouterr().out


def test_it_cannot_hinder_the_removal_of_its_folder(run: Run, forge: Forge, base: Path) -> None:
    code = "import os\nos.makedirs('a/b/c')\nopen('a/b/c/d', 'w')\nos.chmod('a/b', 0)\n"
    code += "os.chmod('a', 0)\nos.symlink('/', 'root')\nos.mkfifo('pipe')\n"
    forge.make("stubborn", {"main.py": code})
    run("stubborn")
    assert list(base.glob("run-*")) == []


def test_a_killed_run_is_swept_up_by_the_next(run: Run, forge: Forge, base: Path) -> None:
    forge.make("fine", {"main.py": "print('fine')\n"})
    run("fine")
    left = base / "run-0123"
    (left / "project").mkdir(parents=True)
    (base / "run-0123.lock").touch()
    run("fine")
    assert list(base.glob("run-*")) == []

"""Who ended a child by SIGKILL: the kernel for lack of memory, somebody else, or the manager."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from manager import shortage
from manager.outcome import CRASHED
from manager.shortage import IN_GROUP, IN_SYSTEM, NONE, UNKNOWN, Shortage, group_file
from tests.house.project import ROOT
from tests.manager.stage import Stage

LIMIT = 100 * 2**20
# Enters a cgroup, has a child of its own that takes more than this may have, and says what it sees.
STARVING = """
import os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from manager.shortage import Shortage
shortage = Shortage()
if os.fork() == 0:
    bytearray(os.urandom(1024) * 1024 * 300)
    os._exit(0)
print(os.wait()[1], shortage.found())
"""


@pytest.fixture
def group() -> Iterator[Path | None]:
    """A memory cgroup of 100 MiB; None where none can be made, which takes root."""
    made = None
    for place, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        path = Path("/sys/fs/cgroup", place, f"capataz-test-{os.getpid()}")
        with suppress(OSError):
            path.mkdir()
            made = path
            (path / limit).write_text(str(LIMIT))
            break
        if made is not None:
            made.rmdir()
            made = None
    yield made
    if made is not None:
        made.rmdir()


def test_the_end_of_a_job_that_takes_more_than_the_system_has(
    stage: Stage, group: Path | None
) -> None:
    """Where no cgroup can be made the kernel's end is not tried: somebody else's stands for it, and
    is told as that."""
    if group is not None:
        outcome = stage.run("starve", group=str(group))
        who = " while the system was short of memory and ended processes"
    else:
        running = stage.start("spin")
        (warden,) = stage.wardens()
        (child,) = warden.children()
        child.kill()
        outcome = running.outcome()
        who = ", by itself or by somebody outside Capataz"
    assert (outcome.kind, outcome.signal) == (CRASHED, "SIGKILL")
    assert outcome.message == f"the job's process was killed by SIGKILL{who}"
    assert outcome.usage is not None
    assert outcome.usage.max_rss_mb > 10
    assert not stage.wardens()


def test_a_group_counts_those_that_are_ended_in_it(group: Path | None, tmp_path: Path) -> None:
    """Where no cgroup can be made, a file stands for its count."""
    if group is not None:
        command = [sys.executable, "-c", STARVING, str(group)]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert told in (f"9 {IN_GROUP}\n", f"9 {IN_SYSTEM}\n")
    else:
        file = tmp_path / "memory.events"
        file.write_text("oom 0\noom_kill 0\n")
        looks = Shortage(str(file), "/nowhere")
        file.write_text("oom 1\noom_kill 1\n")
        assert looks.found() == IN_GROUP


def test_a_child_that_its_manager_ended_is_not_said_to_lack_memory(stage: Stage) -> None:
    outcome = stage.run("junk")
    assert (outcome.kind, outcome.error_type, outcome.signal) == (CRASHED, "Crashed", "SIGKILL")
    assert outcome.message == (
        "the job's process was ended by its manager: it sent what is no message"
    )
    assert not stage.wardens()


def test_counts_are_compared_with_those_of_a_while_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortage, "PAUSE_SECONDS", 0)
    system = tmp_path / "vmstat"
    system.write_text("pgfault 7\noom_kill 3\n")
    looks = Shortage("/nowhere", str(system))
    assert looks.found() == NONE
    system.write_text("pgfault 8\noom_kill 4\n")
    looks.look()
    assert looks.found() == IN_SYSTEM, "counted before the child was gone"
    looks.look()
    looks.look()
    assert looks.found() == NONE, "that was long ago"
    system.unlink()
    assert looks.found() == UNKNOWN


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("5:cpu:/x\n4:memory:/jobs\n0::/\n", "memory/jobs/memory.oom_control"),
        ("0::/jobs.slice\n", "jobs.slice/memory.events"),
        ("4:memory:/elsewhere\n", ""),
    ],
)
def test_the_file_of_ones_own_group_is_found(tmp_path: Path, line: str, file: str) -> None:
    own = tmp_path / "cgroup"
    own.write_text(line)
    for name in ("memory/jobs/memory.oom_control", "jobs.slice/memory.events"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert group_file(str(tmp_path), str(own)) == (str(tmp_path / file) if file else "")
    assert group_file(str(tmp_path), "/nowhere") == ""

"""What a page starts on a reader's machine ends with it, also when the page fails."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.docs.pages import Block
from tests.docs.scenario import Scenario
from tests.house.project import ROOT
from tests.support import wait_until

# As `make run` starts its own: in another session, so that no signal to a group reaches it.
ELSEWHERE = "setsid sleep 600 >/dev/null 2>&1 & echo $!"


def test_nothing_is_left_running(tmp_path: Path) -> None:
    machine = Scenario(tmp_path, None, "")
    try:
        (pid,) = map(int, machine.run(Block(ROOT / "README.md", 1, "sh", ELSEWHERE)).split())
        assert psutil.pid_exists(pid)
    finally:
        machine.kill()
    wait_until(lambda: not psutil.pid_exists(pid), "it is gone with the machine")

"""Children as a manager has them, and assignments that a test starts, watches and ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import psutil

from manager.assignment import Assignment
from manager.children import Children
from manager.outcome import Outcome
from tests.manager.by_hand import assignment
from tests.support import wait_until

JOBS = "tests.manager.wild"
UNTIDY = "tests.manager.untidy"


class Running:
    """One assignment that runs on a thread of its own, as on one of the pool's."""

    def __init__(self, children: Children, order: Assignment) -> None:
        self.order = order
        self._outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=lambda: self._outcomes.append(children.run(order)))
        self._thread.start()

    def is_over(self) -> bool:
        return bool(self._outcomes)

    def outcome(self, timeout: float = 20.0) -> Outcome:
        """What it came to, when it ends within so many seconds."""
        self._thread.join(timeout)
        assert self._outcomes, "the run did not end"
        return self._outcomes[0]


class Stage:
    """Children, and a folder for the marks that their jobs make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children = Children([JOBS, UNTIDY])
        self._marks = 0
        self._others = {process.pid for process in psutil.Process().children()}

    def wardens(self) -> list[psutil.Process]:
        """The processes that its children brought: whatever else this process has started stays
        out of account."""
        return [one for one in psutil.Process().children() if one.pid not in self._others]

    def family(self) -> list[psutil.Process]:
        """Those, and all below them."""
        return [one for top in self.wardens() for one in (top, *top.children(recursive=True))]

    def run(self, kind: str, **payload: Any) -> Outcome:
        """Run an order of this type to its end."""
        return self.children.run(order(kind, **payload))

    def start(self, kind: str, **payload: Any) -> Running:
        """Start an order whose job makes a mark when it begins, and wait until it has."""
        mark = self.mark()
        running = Running(self.children, order(kind, began=str(mark), **payload))
        wait_until(lambda: mark.exists() or running.is_over(), f"{kind} begins")
        return running

    def mark(self) -> Path:
        """A new path in the folder."""
        self._marks += 1
        return self.folder / f"mark-{self._marks}"


def order(kind: str, **payload: Any) -> Assignment:
    return assignment(type=f"wild.{kind}", payload=json.dumps(payload))


def value(outcome: Outcome) -> Any:
    """What the job returned."""
    assert outcome.result is not None, outcome
    return json.loads(outcome.result)


def is_gone(*pids: int) -> bool:
    """Whether these processes have ended, and are not even zombies that nobody waited for."""
    return not any(psutil.pid_exists(pid) for pid in pids)


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()]

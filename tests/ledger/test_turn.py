"""The turn to write to a SQLite file: one at a time, in line, and never waited for without end."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import psutil
import pytest

from database import Database, DatabaseAway, Sql, drivers
from database.turn import FOREIGN, Turn
from tests.ledger import evidence
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[2]
SHORT = 0.2
LONG = 60.0
THREADS = 4
ROUNDS = 125

ADD = Sql("INSERT INTO queue (name, created_on) VALUES (:name, 0)")
NAMES = Sql("SELECT name FROM queue ORDER BY name")

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# Stands in the midst of a write until told to go on.
WRITER = """
import sys
from database import Database, Sql
def work(transaction):
    transaction.run(Sql("INSERT INTO queue (name, created_on) VALUES ('held', 0)"))
    print("inside", flush=True)
    sys.stdin.readline()
Database(sys.argv[1]).write(work)
"""

# Leaves a copy of itself behind in the midst of a turn.
FORKER = """
import os, sys
from database.turn import Turn
with Turn(sys.argv[1], 60):
    if not os.fork():
        sys.stdin.read()
        os._exit(0)
    print("inside", flush=True)
    sys.stdin.read()
"""

COUNTER = """
import sys
from pathlib import Path
from tests.ledger.test_turn import count_up
count_up(Path(sys.argv[1]), Path(sys.argv[2]))
"""

LOOPER = """
import sys
from database.turn import Turn
turn = Turn(sys.argv[1], 60)
print("begins", flush=True)
while True:
    with turn:
        pass
"""


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, at work, and killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def stopped_inside(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that was stopped in the midst of a write."""
    with running(WRITER, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGSTOP)
        seen = psutil.Process(process.pid)
        wait_until(lambda: seen.status() == psutil.STATUS_STOPPED, "the writer is stopped")
        yield process


def add(database: Database, name: str) -> None:
    database.write(lambda tx: tx.run(ADD, {"name": name}))


def names(database: Database) -> list[str]:
    return [name for (name,) in database.read(NAMES)]


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "turn"]


def count_up(lock: Path, counter: Path) -> None:
    """Count in a file, in several threads, in a way that loses counts unless each is alone."""
    turn = Turn(str(lock), LONG)

    def work() -> None:
        for _ in range(ROUNDS):
            with turn:
                counter.write_text(str(int(counter.read_text()) + 1))

    evidence.at_once([work] * THREADS)


@SQLITE
def test_a_stopped_writer_is_not_waited_for_without_end(
    database: Database, database_url: str
) -> None:
    hasty = Database(database_url, turn_seconds=SHORT)
    with stopped_inside(database_url) as process:
        for name in ("a", "b"):
            with pytest.raises(DatabaseAway, match=f"within {SHORT:g} s") as away:
                add(hasty, name)
            assert away.value.nothing_done
        assert f"'kill -CONT {process.pid}'" in str(away.value), "it says who, and the remedy"
        assert names(hasty) == [], "readers need no turn"
        with pytest.raises(DatabaseAway, match="stopped"):
            evidence.at_once([lambda: add(hasty, "c")] * 3)
        assert len(helpers()) == 1, "however many waited, one helper stands in the queue"
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: psutil.Process(process.pid).status() != psutil.STATUS_STOPPED)
        with pytest.raises(DatabaseAway, match="look before you end it") as away:
            add(hasty, "d")
        assert f"process {process.pid} has it just now, and runs" in str(away.value)
        process.communicate("go on\n", LONG)
        assert process.returncode == 0
        wait_until(lambda: not helpers(), "the helper has let go of a turn that nobody wants")
        add(hasty, "after")
    assert names(hasty) == ["after", "held"]
    hasty.close()


@SQLITE
def test_who_is_kept_busy_by_a_stranger_says_so(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of ours has the turn and cannot write; the others wait for the turn, for the same."""
    monkeypatch.setattr(drivers, "BUSY_SECONDS", 2 * SHORT)
    hasty = Database(database_url, turn_seconds=SHORT)
    stranger = apsw.Connection(str(hasty.path))
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseAway, match=f"BusyError: .*; {re.escape(FOREIGN)}"):
        add(hasty, "a")
    reasons: list[str] = []

    def fail() -> None:
        with pytest.raises(DatabaseAway) as away:
            add(hasty, "b")
        reasons.append(str(away.value))

    evidence.at_once([fail] * 3)
    assert any("no turn to write" in reason for reason in reasons)
    assert all(FOREIGN in reason for reason in reasons)
    stranger.close()
    add(hasty, "c")
    assert names(hasty) == ["c"]
    hasty.close()


@SQLITE
def test_those_who_wait_go_on_by_themselves_when_a_stopped_writer_is_killed(
    database: Database, database_url: str
) -> None:
    with stopped_inside(database_url) as process:
        waiting = [threading.Thread(target=add, args=(database, name)) for name in "abc"]
        for thread in waiting:
            thread.start()
        wait_until(helpers, "somebody waits for a turn")
        process.kill()
        for thread in waiting:
            thread.join(LONG)
    assert names(database) == ["a", "b", "c"], "and what it had begun was rolled back"


def test_a_turn_does_not_outlive_its_holder_in_what_that_forked(tmp_path: Path) -> None:
    lock = tmp_path / "turns.lock"
    with running(FORKER, str(lock)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        (child,) = psutil.Process(process.pid).children()
        process.kill()
        with Turn(str(lock), LONG):
            assert child.is_running()
    wait_until(lambda: not helpers())


def test_a_new_file_is_not_waited_for_without_end_either(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    fresh = Database(f"sqlite:///{path}", turn_seconds=SHORT)
    with Turn(f"{path}.lock", SHORT):
        with pytest.raises(DatabaseAway, match=r"another thread of this process") as away:
            fresh.read(Sql("SELECT 1"))
        assert away.value.nothing_done
    assert fresh.read(Sql("PRAGMA journal_mode")) == [("wal",)]
    wait_until(lambda: not helpers())


def test_no_turn_is_lost_between_threads_and_processes(tmp_path: Path) -> None:
    lock, counter = tmp_path / "turns.lock", tmp_path / "counter"
    counter.write_text("0")
    with running(COUNTER, str(lock), str(counter)) as process:
        count_up(lock, counter)
        assert process.wait(LONG) == 0
    assert int(counter.read_text()) == 2 * THREADS * ROUNDS


def test_no_turn_is_lost_when_many_give_up(tmp_path: Path) -> None:
    """A turn that comes in the very moment in which it is given up must go to the next."""
    turn = Turn(str(tmp_path / "turns.lock"), 0.001)
    inside: list[int] = []
    given_up: list[int] = []

    def work() -> None:
        chance = random.Random(threading.get_ident())
        for one in range(ROUNDS):
            try:
                with turn:
                    assert not inside
                    inside.append(one)
                    time.sleep(chance.uniform(0, 0.002))
                    inside.pop()
            except DatabaseAway:
                given_up.append(one)

    evidence.at_once([work] * THREADS)
    assert 0 < len(given_up) < THREADS * ROUNDS
    wait_until(lambda: not helpers())
    with turn:
        assert not inside


def test_no_descriptors_are_left_over(tmp_path: Path) -> None:
    lock, counter = tmp_path / "turns.lock", tmp_path / "counter"
    counter.write_text("0")

    def files() -> int:
        return sum(os.path.samefile(f"/proc/self/fd/{fd}", lock) for fd in open_files())

    def open_files() -> Iterator[str]:
        return (fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))

    lock.touch()
    for _ in range(3):
        count_up(lock, counter)
        wait_until(lambda: files() == 0, "a turn that nobody has closes its files")


def test_a_process_that_writes_without_a_pause_starves_nobody(tmp_path: Path) -> None:
    lock = tmp_path / "turns.lock"
    turn = Turn(str(lock), LONG)
    with running(LOOPER, str(lock)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        for _ in range(100):
            with turn:
                pass
        assert process.poll() is None
    wait_until(lambda: not helpers())

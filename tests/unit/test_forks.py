"""A forked child shares no descriptor that its first process keeps to itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import forks


def in_a_fork(work: Callable[[], bool]) -> bool:
    """What the work says in a forked child, which then ends."""
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = work()
        finally:
            os._exit(not good)
    return os.waitpid(child, 0)[1] == 0


def leads_nowhere(descriptor: int) -> bool:
    """Whether it is open, leads to /dev/null, and is closed by a program started with it."""
    found, nothing = os.fstat(descriptor), os.stat(os.devnull)
    return found.st_rdev == nothing.st_rdev and not os.get_inheritable(descriptor)


def test_the_end_is_seen_although_a_fork_lives_on() -> None:
    ours, theirs = socket.socketpair()
    waiting, going = os.pipe()
    forks.keep(ours.fileno())
    child = os.fork()
    if child == 0:
        os.close(going)
        os.read(waiting, 1)
        os._exit(not leads_nowhere(ours.fileno()))
    os.close(waiting)
    theirs.settimeout(20)
    forks.forget(ours.fileno())
    ours.close()
    assert theirs.recv(1) == b""
    theirs.close()
    os.close(going)
    assert os.waitpid(child, 0)[1] == 0


def test_a_fork_of_a_fork_may_use_the_number_again() -> None:
    reading, writing = os.pipe()
    forks.keep(writing)

    def work() -> bool:
        os.dup2(reading, writing)
        return in_a_fork(lambda: os.path.sameopenfile(reading, writing))

    assert in_a_fork(work)
    forks.forget(writing)
    os.close(reading)
    os.close(writing)


def test_what_is_forgotten_is_shared() -> None:
    reading, writing = os.pipe()
    forks.keep(writing)
    forks.forget(writing)
    forks.forget(writing)
    assert in_a_fork(lambda: os.write(writing, b"x") == 1)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)


def test_another_file_under_the_same_number_is_left_alone() -> None:
    """A driver closes the descriptor of a lost connection before anybody can say so."""
    kept, other = os.pipe()
    forks.keep(kept)
    os.close(kept)
    reading, writing = os.pipe()
    assert kept == reading, "the lowest number that is free"
    assert in_a_fork(lambda: not leads_nowhere(reading))
    forks.forget(kept)
    for descriptor in (other, reading, writing):
        os.close(descriptor)


def test_it_loads_nothing_of_ours() -> None:
    """A child process of a job, and its warden, load it too."""
    program = (
        "import sys; before = set(sys.modules); import forks; print(set(sys.modules) - before)"
    )
    root = os.path.dirname(forks.__file__)
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert "forks" in loaded.stdout
    for module in ("database", "settings", "ledger", "manager", "jobs"):
        assert module not in loaded.stdout

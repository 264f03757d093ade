"""Jobs that do to their process whatever a job can do to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from jobs import Context, Fail, Retry, job
from jobs.errors import Cancelled

FOREVER = 600
# A bomb that nobody defuses ends by itself after this many seconds.
FUSE_SECONDS = 20


@job("wild.self", isolation="process")
def self_(context: Context) -> dict[str, Any]:
    """Tell who one is."""
    return {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "group": os.getpgid(0),
        "warden": os.getppid(),
        "job": [context.job_id, context.attempt, context.lease],
        "remaining": context.remaining(),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        "main_thread": threading.current_thread() is threading.main_thread(),
    }


@job("wild.thread")
def thread(_context: Context) -> int:
    """Run wherever one is put; the process that this was."""
    return os.getpid()


@job("wild.raise", isolation="process")
def raise_(_context: Context, what: str) -> NoReturn:
    """Raise something."""
    match what:
        case "retry":
            raise Retry(after=2.5, message="later")
        case "fail":
            raise Fail("never")
        case "exit":
            sys.exit("out")
        case "odd":
            raise _odd_error()
    raise ValueError(what)


def _odd_error() -> Exception:
    class Odd(Exception):  # a class within a function cannot be pickled
        def __init__(self) -> None:
            super().__init__(threading.Lock())

        def __str__(self) -> str:
            raise RuntimeError("no text")

    return Odd()


@job("wild.huge", isolation="process")
def huge(_context: Context, size: int) -> str:
    """Return a text of so many characters."""
    return "x" * size


@job("wild.pieces", isolation="process")
def pieces(_context: Context, count: int) -> list[str]:
    """Return a text of 1 MiB so many times."""
    return ["x" * 2**20] * count


@job("wild.crash", isolation="process")
def crash(_context: Context, how: str, text: str = "") -> None:
    """Print a text, and end the process."""
    print(text, end="")
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "abort":
        os.abort()
    os.kill(os.getpid(), signal.SIGKILL)


@job("wild.print", isolation="process")
def print_(_context: Context, text: str) -> None:
    """Print on both streams, and from a program."""
    print(text)
    print(text, file=sys.stderr)
    subprocess.run(["/bin/echo", text], check=True)


@job("wild.spin", isolation="process")
def spin(_context: Context, began: str, text: str = "") -> None:
    """Compute for ever."""
    print(text, end="")
    Path(began).touch()
    while True:
        pass


@job("wild.deaf", isolation="process")
def deaf(_context: Context, began: str, text: str = "") -> None:
    """Sleep outside Python, and ignore the polite signal."""
    print(text, end="")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(began).touch()
    while True:
        ctypes.CDLL(None).sleep(FOREVER)


@job("wild.signals", isolation="process")
def signals(_context: Context, began: str, text: str) -> None:
    """Ignore every signal that can be ignored, but the one that asks for stacks."""
    print(text, end="")
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGRTMAX}:
        signal.signal(number, signal.SIG_IGN)
    Path(began).touch()
    while True:
        time.sleep(FOREVER)


@job("wild.obedient", isolation="process")
def obedient(context: Context, began: str, answer: bool = False) -> str:
    """Wait to be told to stop, and stop."""
    Path(began).touch()
    context.wait(FOREVER)
    Path(f"{began}-told").touch()
    if answer:
        return "done"
    raise Cancelled


@job("wild.program", isolation="process")
def program(_context: Context, began: str) -> None:
    """Wait for a program that one started, and fail when it fails."""
    running = subprocess.Popen(["/bin/sleep", str(FOREVER)])
    Path(began).touch()
    if running.wait():
        raise subprocess.CalledProcessError(running.returncode, "sleep")


@job("wild.steps", isolation="process")
def steps(context: Context, began: str, go: str) -> None:
    """Tell progress, many times; the last one counts. Wait for a file."""
    for percent in range(1001):
        context.progress(percent / 10, f"step {percent}")
    context.log.warning("said %d times", 1001, extra={"colour": "blue", "name": "taken"})
    Path(began).touch()
    while not Path(go).exists():
        context.wait(0.01)


@job("wild.daemon", isolation="process")
def daemon(context: Context, pids: str, then: str, began: str = "", text: str = "") -> int:
    """Start a daemon with a session of its own that ignores signals, and go on in some way."""
    print(text, end="", flush=True)
    _daemonize(pids)
    if then == "exit":
        os._exit(0)
    if then == "wait":
        Path(began).touch()
        while True:
            time.sleep(FOREVER)
    return os.getpid()


@job("wild.mutiny", isolation="process")
def mutiny(_context: Context, began: str, pids: str, how: str) -> None:
    """Start such a daemon, send one's own warden a signal, and go on."""
    _write_pid(pids)
    _daemonize(pids)
    Path(began).touch()
    number, _, for_ever = how.partition(" ")
    os.kill(os.getppid(), signal.Signals[f"SIG{number}"])
    while True:
        if for_ever:
            os.kill(os.getppid(), signal.Signals[f"SIG{number}"])
        time.sleep(0 if for_ever else FOREVER)


def _daemonize(pids: str) -> None:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                os.closerange(0, 3)
            _write_pid(pids)
            os.close(writer)
            time.sleep(FOREVER)
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)  # its end: the daemon is there, and so is its parent's end
    os.close(reader)


@job("wild.leave", isolation="process")
def leave(_context: Context, what: str) -> int:
    """Leave something running behind."""
    if what == "program":
        subprocess.Popen(["/bin/sleep", str(FOREVER)])
    elif what == "thread":
        threading.Thread(target=time.sleep, args=(FOREVER,), daemon=True).start()
    elif what == "fork":
        if os.fork() == 0:
            return -1  # comes back from the job a second time
        os.wait()
    return os.getpid()


@job("wild.terminate", isolation="process")
def terminate(_context: Context) -> int:
    """Fork, and end the fork as multiprocessing does; how it ended."""
    pid = os.fork()
    if pid == 0:
        time.sleep(FOREVER)
    os.kill(pid, signal.SIGTERM)
    return os.waitpid(pid, 0)[1]


@job("wild.bomb", isolation="process")
def bomb(_context: Context, began: str = "", text: str = "") -> None:
    """Fork, and let every fork do the same."""
    print(text, end="", flush=True)
    if began:
        Path(began).touch()
    until = time.monotonic() + FUSE_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            os.fork()
    os._exit(0)


@job("wild.hog", isolation="process", memory_mb=150)
def hog(_context: Context, mib: int, children: int = 0, text: str = "") -> int:
    """Take so much memory, or share it with forks that only look at it."""
    print(text, end="", flush=True)
    taken = bytearray(mib * 1024 * 1024)
    for place in range(0, len(taken), 4096):
        taken[place] = 1
    pids = []
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            time.sleep(1)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    return len(taken) if children else _rest(mib)


def _rest(mib: int) -> int:
    time.sleep(1 if mib > 150 else 0)
    return mib


@job("wild.burn", isolation="process")
def burn(_context: Context, seconds: float, mib: int) -> None:
    """Use so much processor time and memory."""
    taken = bytearray(os.urandom(1024) * 1024 * mib)
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    del taken


@job("wild.junk", isolation="process")
def junk(_context: Context) -> None:
    """Write what is no message to whatever listens, and go on."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                os.write(int(name), b"\xff" * 64)
    time.sleep(FOREVER)


@job("wild.starve", isolation="process")
def starve(_context: Context, group: str) -> None:
    """Take more memory than this cgroup may have."""
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    taken = bytearray(os.urandom(1024) * 1024 * 300)
    raise AssertionError(f"{len(taken)} bytes were to be had")


@job("wild.close", isolation="process")
def close(_context: Context) -> None:
    """Close every descriptor but the standard ones, as a daemon's author would."""
    os.closerange(3, 256)


def _write_pid(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")

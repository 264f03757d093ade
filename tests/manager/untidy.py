"""Jobs that change the process that they run in, and one that looks at it."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import decimal
import faulthandler
import gc
import locale
import logging
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobs import Context, job

VARIABLE = contextvars.ContextVar("VARIABLE", default="as it was")
KEPT: list[Any] = []
FOREVER = 600


@job("wild.look", isolation="process")
def look(_context: Context, seconds: float = 0) -> dict[str, Any]:
    """Tell what one finds, after a while."""
    time.sleep(seconds)
    loggers = [logging.root, *(logging.getLogger(name) for name in ("capataz.job", "shop", "new"))]
    return {
        "pid": os.getpid(),
        "folder": os.getcwd(),
        "variables": dict(os.environ),
        "zone": time.tzname,
        "umask": _umask(),
        "timers": [signal.getitimer(timer) for timer in (0, 1, 2)],
        "handlers": [str(signal.getsignal(number)) for number in range(1, 65)],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "limits": [resource.getrlimit(number) for number in range(16)],
        "sys": [sys.path, sys.argv, sys.stdout is sys.__stdout__, sys.stdout.encoding],
        "tuning": [sys.getrecursionlimit(), gc.isenabled(), gc.get_threshold()],
        "tracing": [str(sys.gettrace()), str(threading.gettrace())],
        "digits": [sys.get_int_max_str_digits(), decimal.getcontext().prec],
        "locale": locale.setlocale(locale.LC_ALL),
        "timeout": socket.getdefaulttimeout(),
        "loggers": [(one.name, one.level, len(one.handlers), one.disabled) for one in loggers],
        "logging": [logging.root.manager.disable, len(logging.root.filters)],
        "records": str(logging.getLogRecordFactory()),
        "variable": VARIABLE.get(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "faults": faulthandler.is_enabled(),
        "standard": [os.fstat(number).st_ino for number in range(3)],
        "kept": len(KEPT),
    }


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


@job("wild.untidy", isolation="process")
def untidy(_context: Context, what: str) -> int:
    """Change something, and leave it so."""
    (TIDIED | SPENT | EITHER)[what]()
    return os.getpid()


@job("wild.draw", isolation="process")
def draw(_context: Context) -> float:
    """Draw at random after a seed of one's own."""
    found = random.random()
    random.seed(7)
    return found


@job("wild.keep", isolation="process")
def keep(_context: Context, sockets: int) -> int:
    """Keep connections for the next run."""
    KEPT.extend(socket.socket() for _ in range(sockets))
    return os.getpid()


def _close_log() -> None:
    logging.getLogger("shop").disabled = True
    logging.getLogger("shop").addHandler(logging.StreamHandler())
    logging.getLogger("new").addHandler(logging.StreamHandler())
    logging.basicConfig(force=True, level=logging.CRITICAL)
    logging.getLogger("capataz.job").handlers.clear()
    logging.disable()
    logging.setLogRecordFactory(logging.LogRecord)


def _replace_streams() -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    sys.stdout.close()
    sys.stderr.reconfigure(encoding="latin-1")  # type: ignore[union-attr]
    os.dup2(0, 1)
    os.close(2)


def _limit(hard: bool) -> None:
    soft, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0 if hard else most))
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 99), most))


def _handle(*numbers: int) -> None:
    for number in numbers:
        signal.signal(number, lambda *_: None)


def _zone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    del os.environ["TZ"]


def _clear_environ() -> None:
    os.environ.clear()
    os.environ = {"a": "b"}  # type: ignore[assignment]  # noqa: B003


def _pend() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.raise_signal(signal.SIGUSR1)


def _own_handler() -> None:
    """As C code does it, which Python does not see."""
    ctypes.CDLL(None).signal(signal.SIGUSR2, ctypes.c_void_p(1))


def _tempt_fork() -> None:
    """A fork of a fork, which opens what gets the number of what its parent let go of."""
    if os.fork() == 0:
        ours = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
        if os.fork() == 0:
            for one in ours:
                os.fstat(one)
            os._exit(7)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 7


def _path() -> None:
    sys.path.insert(0, "/")
    sys.argv = ["x"]
    sys.path.clear()


def _tune() -> None:
    gc.disable()
    gc.set_threshold(9)
    sys.setrecursionlimit(9_000)


def _digits() -> None:
    sys.set_int_max_str_digits(0)
    decimal.getcontext().prec = 3


def _trace(*_: Any) -> None:
    """Called with all that happens."""


def _set_traces() -> None:
    sys.setprofile(_trace)
    threading.settrace(_trace)


def _join() -> None:
    for _ in range(20):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


def _run_loop() -> None:
    async def ask() -> None:
        await asyncio.to_thread(int)
        program = await asyncio.create_subprocess_exec("/bin/true")
        await program.wait()

    asyncio.run(ask())


def _use_pools() -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(int, "123"))
    subprocess.run(["/bin/true"], check=True)
    with tempfile.TemporaryFile() as file:
        file.write(b"x")


def _leave_file() -> None:
    KEPT.append(tempfile.TemporaryFile())  # noqa: SIM115


def _detach() -> None:
    KEPT.append(sys.stdout.detach())  # type: ignore[union-attr]


logging.getLogger("shop").setLevel(logging.INFO)

# What the next run finds as if nothing had been.
TIDIED: dict[str, Callable[[], object]] = {
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 0.2),
    "own timers": lambda: [signal.setitimer(timer, 9, 9) for timer in (1, 2)],
    "dump later": lambda: faulthandler.dump_traceback_later(0.2, exit=True),
    "folder": lambda: os.chdir("/"),
    "variable": lambda: os.environ.update(NEW="1", PATH="/nowhere"),
    "environ": _clear_environ,
    "zone": _zone,
    "umask": lambda: os.umask(0o777),
    "handlers": lambda: _handle(*(one for one in signal.valid_signals() if one not in (9, 19))),
    "one handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD]),
    "limits": lambda: _limit(hard=False),
    "faults": faulthandler.disable,
    "sys": _path,
    "streams": _replace_streams,
    "tuning": _tune,
    "digits": _digits,
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "tracing": _set_traces,
    "timeout": lambda: socket.setdefaulttimeout(0.1),
    "logging": _close_log,
    "context": lambda: VARIABLE.set("changed"),
    "joined threads": _join,
    "forks": _tempt_fork,
    "asyncio": _run_loop,
    "pools": _use_pools,
}

# What cannot be undone.
SPENT: dict[str, Callable[[], object]] = {
    "thread": lambda: threading.Thread(target=time.sleep, args=(FOREVER,), daemon=True).start(),
    "hidden thread": lambda: __import__("_thread").start_new_thread(time.sleep, (FOREVER,)),
    "pending signal": _pend,
    "handler of C": _own_handler,
    "file": _leave_file,
    "pipe": os.pipe,
    "closed stdout": sys.stdout.close,
    "closed stdin": sys.stdin.close,
    "detached stdout": _detach,
    "no new rights": lambda: ctypes.CDLL(None).prctl(38, 1, 0, 0, 0),
    "scheduling": lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)),
}

# What takes rights to undo.
EITHER: dict[str, Callable[[], object]] = {
    "nice": lambda: os.nice(5),
    "hard limits": lambda: _limit(hard=True),
}

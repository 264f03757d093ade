"""Jobs that say much, little, or in odd ways."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from jobs import Context, job


@job("talk.all_ways", isolation="process")
def all_ways(context: Context) -> None:
    """Say something in every way there is."""
    print("printed")
    print("wrong", file=sys.stderr)
    os.write(1, b"raw \xff\n")
    subprocess.run(["/bin/sh", "-c", "echo program; echo complaint >&2"], check=True)
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()
    context.log.warning("logged %d", 1, extra={"width": 3})
    logging.getLogger("somebody.else").info("theirs")
    wanted = "%d of %d"
    context.log.info(wanted, "three")
    logging.getLogger("somebody.else").debug("not heard")
    try:
        raise ValueError("no")
    except ValueError:
        context.log.exception("failed")
    print("no line end", end="")


@job("talk.say", isolation="process")
def say(_context: Context, text: str) -> None:
    """Say this."""
    print(text)
    print(text, file=sys.stderr)


@job("talk.on", isolation="process")
def on(_context: Context, began: str, go: str, how: str = "return") -> None:
    """Say something, wait for a file, and end somehow."""
    print("before")
    Path(began).touch()
    while not Path(go).exists():
        time.sleep(0.01)
    print("after")
    if how == "kill":
        os.kill(os.getpid(), 9)


@job("talk.flood", isolation="process")
def flood(_context: Context, mib: int) -> int:
    """Write so many MiB of numbered lines as fast as can be; how many lines that were."""
    block = 8 * 1024
    total = mib * 1024 * 1024 // 16
    for begin in range(0, total, block):
        os.write(1, b"".join(b"%015d\n" % number for number in range(begin, begin + block)))
    return total


@job("talk.log_flood", isolation="process")
def log_flood(context: Context, count: int) -> None:
    """Log so many records as fast as can be."""
    for number in range(count):
        context.log.info("record %d", number)

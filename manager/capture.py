"""Keeps a copy of what jobs in threads print and log, for their orders.

A copy is kept of what a run says, or the threads and tasks that work in a copy of its context
(`contextvars`): asyncio's do. What goes past `sys.stdout`, `sys.stderr` and `logging` is not seen.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any

from jobs.records import Forgiving
from manager.order_logs import RUNNING, STDERR, STDOUT

MOST_FIELDS = 50

# What a record says besides: all but its own fields, and those that every line has anyway.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "job_id", "attempt", "lease"}
# The same of a structured one.
_STRUCTURED = {"event", "level", "logger", "time", "timestamp", "exc_info", "exception"}


class Copied:
    """A text stream; what a run writes to it is kept besides. Everything else is the stream's."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        written: int = self._stream.write(text)
        log = RUNNING.get()
        if log is not None:
            log.write(self._name, text, threading.get_ident())
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Keeper(logging.Handler):
    """Keeps the records of runs; all others are nothing to it."""

    def createLock(self) -> None:  # noqa: N802 (the library's name)
        # It has no state of its own, and a job must not wait here for another.
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        log = RUNNING.get()
        if log is not None:
            try:
                log.record(record.levelno, described(record), record.created)
            except Exception:
                self.handleError(record)


class Capture:
    """The copies of this process's streams, and the keeper of its log, while it is installed."""

    def __init__(self) -> None:
        self._keeper = Keeper()
        self._streams: tuple[Any, Any] | None = None

    def install(self) -> None:
        """From now on copies are kept. After the log is set up, which then goes past them."""
        if self._streams is None:
            self._streams = (sys.stdout, sys.stderr)
            streams: tuple[Any, Any] = (Copied(sys.stdout, STDOUT), Copied(sys.stderr, STDERR))
            sys.stdout, sys.stderr = streams
            logging.getLogger().addHandler(self._keeper)
            logging.setLogRecordFactory(Forgiving)

    def remove(self) -> None:
        """Give the streams back. Safe twice."""
        if self._streams is not None:
            sys.stdout, sys.stderr = self._streams
            self._streams = None
            logging.getLogger().removeHandler(self._keeper)
            logging.setLogRecordFactory(logging.LogRecord)


def described(record: logging.LogRecord) -> str:
    """What a record says, with its fields and the traceback of its exception."""
    if isinstance(record.msg, dict) and "event" in record.msg:
        text, given, own = str(record.msg["event"]), record.msg, _STRUCTURED
        trouble = given.get("exception") or _trace(given.get("exc_info") or record.exc_info)
    else:
        text, given, own = record.getMessage(), vars(record), _OWN
        trouble = record.exc_text or _trace(record.exc_info)
    names = [name for name in given if name not in own and not str(name).startswith("_")]
    fields = "".join(f" {name}={given[name]}" for name in names[:MOST_FIELDS])
    stack = record.stack_info
    return "\n".join(part for part in (text + fields, trouble, stack) if part).rstrip("\n")


def _trace(exc_info: Any) -> str:
    if isinstance(exc_info, BaseException):
        return "".join(traceback.format_exception(exc_info))
    if exc_info is True:
        exc_info = sys.exc_info()
    if not exc_info or exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*exc_info))


def _leave() -> None:
    # A copy of this process that a job forked writes nothing down, and the lock may be held in it
    # by a thread that it does not have.
    RUNNING.set(None)


os.register_at_fork(after_in_child=_leave)

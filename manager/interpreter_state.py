"""What the interpreter of a child process holds that a job may change: made again as it was.

Not the globals of modules: a module that keeps something for the next run shall have it.
"""

from __future__ import annotations

import atexit
import gc
import locale
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from manager.process_state import Spent

# Modules that are imported by a run may have something to do at the end; so many are a leak.
MOST_EXITS = 64

Pair = tuple[Callable[[], Any], Callable[[Any], object]]

_SETTINGS: tuple[Pair, ...] = (
    (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    (gc.get_threshold, lambda kept: gc.set_threshold(*kept)),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.getswitchinterval, sys.setswitchinterval),
    (sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (threading.gettrace, threading.settrace),
    (threading.getprofile, threading.setprofile),
    (logging.getLogRecordFactory, logging.setLogRecordFactory),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
    (lambda: locale.setlocale(locale.LC_ALL), lambda kept: locale.setlocale(locale.LC_ALL, kept)),
    (lambda: (time.tzname, time.timezone, time.daylight), lambda _kept: time.tzset()),
)
_NAMES = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook")
_LISTS = ("path", "argv")


class InterpreterState:
    """How the interpreter was when this was made."""

    def __init__(self) -> None:
        self._environ = os.environ
        self._variables = dict(_variables())
        self._settings = [(get, put, get()) for get, put in _SETTINGS]
        self._names = [(name, getattr(sys, name)) for name in _NAMES]
        self._lists = [(name, getattr(sys, name), list(getattr(sys, name))) for name in _LISTS]
        self._streams = [
            (stream, _manner(stream)) for stream in (sys.stdin, sys.stdout, sys.stderr)
        ]
        self._exits = atexit._ncallbacks()
        self._loggers = _Loggers()

    def restore(self) -> None:
        """Make all as it was. Raises whatever may be raised where that cannot be."""
        os.environ = self._environ  # noqa: B003 (the very object, should a job have replaced it)
        if _variables() != self._variables:
            os.environb.clear()
            os.environb.update(self._variables)
        for name, value in self._names:
            setattr(sys, name, value)
        for name, value, content in self._lists:
            if value != content:
                value[:] = content
            setattr(sys, name, value)
        for get, put, value in self._settings:
            if get() != value:
                put(value)
        for stream, manner in self._streams:
            if stream.closed:
                raise Spent("one of its standard streams is closed")
            if _manner(stream) != manner:
                stream.reconfigure(**dict(zip(_MANNERS, manner, strict=True)))  # type: ignore[union-attr]
        if atexit._ncallbacks() > self._exits + MOST_EXITS:
            raise Spent("much is to be done at its exit")
        self._loggers.restore()

    @staticmethod
    def renew() -> None:
        """After the answer, since it takes a while: what a run draws at random tells nothing of
        what the next one draws."""
        if (module := sys.modules.get("random")) is not None:
            module.seed()


class _Loggers:
    """How the loggers were. One that is made later has nothing of its own but `NullHandler`s."""

    def __init__(self) -> None:
        self._manager = logging.root.manager
        self._off = self._manager.disable
        self._count = 0
        self._kept: dict[logging.Logger, tuple[Any, ...]] = {}
        self._take_in(as_made=False)

    def restore(self) -> None:
        self._manager.disable = self._off
        if len(self._manager.loggerDict) != self._count:
            self._take_in(as_made=True)
        for logger, kept in self._kept.items():
            if _of(logger) != kept:
                level, logger.disabled, logger.propagate, handlers, filters = kept
                logger.handlers[:], logger.filters[:] = handlers, filters
                logger.setLevel(level)

    def _take_in(self, *, as_made: bool) -> None:
        self._count = len(self._manager.loggerDict)
        for logger in (logging.root, *self._manager.loggerDict.values()):
            if isinstance(logger, logging.Logger) and logger not in self._kept:
                self._kept[logger] = _as_made(logger) if as_made else _of(logger)


def _of(logger: logging.Logger) -> tuple[Any, ...]:
    return (
        logger.level,
        logger.disabled,
        logger.propagate,
        (*logger.handlers,),
        (*logger.filters,),
    )


def _as_made(logger: logging.Logger) -> tuple[Any, ...]:
    silent = (one for one in logger.handlers if isinstance(one, logging.NullHandler))
    return logging.NOTSET, False, True, (*silent,), ()


def _variables() -> dict[bytes, bytes]:
    """The environment as the interpreter holds it: no copy, no decoding."""
    return vars(os.environ)["_data"]  # type: ignore[no-any-return]


_MANNERS = ("encoding", "errors", "line_buffering", "write_through")


def _manner(stream: Any) -> tuple[Any, ...]:
    return stream.encoding, stream.errors, stream.line_buffering, stream.write_through

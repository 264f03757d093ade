"""Wake-ups: a hint that something waits, which only ever ends a sleep early.

NOTIFY on PostgreSQL, from a connection of its own and at most once in a window, because one per
insert makes the writers queue for its lock; a UNIX datagram beside the file on SQLite. A hint may
be lost or come twice: polling is the truth.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psycopg

from database import Database, DatabaseAway

CHANNEL = "capataz"
WINDOW_SECONDS = 0.005
RECONNECT_SECONDS = 1.0

_log = logging.getLogger("capataz.ledger")

WORK = "work"
CANCEL = "cancel"


class Bell:
    """Rings at the managers. `ring` never blocks and never raises; a thread does the sending."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def ring(self, hint: str = WORK) -> None:
        """Ask for a hint to be sent; several within a window become one."""
        with self._changed:
            if self._closed:
                return
            self._wanted.add(hint)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Send what is still wanted, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        send = _Datagrams(self._database.path) if self._database.path else _Notify(self._database)
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                hints, self._wanted = self._wanted, set()
                closed = self._closed
            for hint in hints:
                send(hint)
            if closed:
                send.close()
                return
            time.sleep(WINDOW_SECONDS)


class _Notify:
    """NOTIFY over a connection kept for that; when it breaks, the hint is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, hint: str) -> None:
        with contextlib.suppress(DatabaseAway, psycopg.Error), self._database.session() as link:
            link.execute("SELECT pg_notify(%s, %s)", (CHANNEL, hint))

    def close(self) -> None:
        self._database.close()


class _Datagrams:
    """A datagram to every socket that a listener left beside the database's file."""

    def __init__(self, path: Path) -> None:
        self._folder = hints_folder(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def __call__(self, hint: str) -> None:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        with _short(self._folder) as folder:
            for name in names:
                try:
                    self._socket.sendto(hint.encode(), f"{folder}/{name}")
                except ConnectionRefusedError:  # its listener was killed
                    with contextlib.suppress(OSError):
                        os.unlink(self._folder / name)
                except OSError:
                    pass  # a full buffer holds hints enough

    def close(self) -> None:
        self._socket.close()


class Listener:
    """Calls `heard(hint)` for each hint, from a thread of its own, until closed."""

    def __init__(self, database: Database, name: str, heard: Callable[[str], None]) -> None:
        self._database = database
        self._heard = heard
        self._name = name
        self._wake, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._ready = threading.Event()
        self._closed = False

    def start(self, timeout: float = 5.0) -> None:
        """Start listening; returns when hints can be heard, or after `timeout` seconds."""
        self._thread.start()
        self._ready.wait(timeout)

    def close(self) -> None:
        """Stop listening; safe twice, and before start."""
        with contextlib.suppress(OSError):
            os.write(self._stop, b"x")
        if self._thread.is_alive():
            self._thread.join(5)
        if not self._closed and not self._thread.is_alive():
            self._closed = True
            os.close(self._stop)
            os.close(self._wake)

    def _run(self) -> None:
        listen = self._datagrams if self._database.path else self._notifications
        while True:
            try:
                if listen():
                    return
            except (DatabaseAway, psycopg.Error, OSError):
                # Polling goes on meanwhile, so a short silence here costs a poll interval at most.
                if readable([self._wake], RECONNECT_SECONDS):
                    return

    def _tell(self, hint: str) -> None:
        try:
            self._heard(hint)
        except Exception:
            _log.exception("a hint could not be followed; polling will find the work")

    def _notifications(self) -> bool:
        with self._database.session() as connection:
            if self._database.pooled:
                return self._rest()
            try:
                connection.execute(f"LISTEN {CHANNEL}")
                self._ready.set()
                while True:
                    # Fetched to the end before anybody is called, since the generator holds the
                    # connection's lock; and again after it, since who is called may use the
                    # connection, and what arrives then wakes no poll.
                    while hints := {n.payload for n in connection.notifies(timeout=0)}:
                        for hint in sorted(hints):
                            self._tell(hint)
                    if self._wake in readable([connection.fileno(), self._wake]):
                        return True
            finally:
                # A connection that listens must not go back to the pool.
                self._database.discard()

    def _rest(self) -> bool:
        """Behind a pooler: LISTEN would be lost, or left to somebody else's connection."""
        self._database.discard()
        _log.warning("no wake-ups behind a pooler: only polling finds orders and cancels")
        self._ready.set()
        readable([self._wake])
        return True

    def _datagrams(self) -> bool:
        path = self._database.path
        assert path is not None
        folder = hints_folder(path)
        folder.mkdir(mode=0o700, exist_ok=True)
        name = file_name(self._name)
        place = folder / name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, _short(folder) as short:
            place.unlink(missing_ok=True)
            ear.bind(f"{short}/{name}")
            self._ready.set()
            try:
                while True:
                    if self._wake in readable([ear.fileno(), self._wake]):
                        return True
                    self._tell(ear.recv(64).decode(errors="replace"))
            finally:
                place.unlink(missing_ok=True)


def readable(descriptors: Iterable[int], seconds: float | None = None) -> set[int]:
    """Those of the descriptors that have something to say, or have ended, waited for so long.

    Whatever their numbers: `select` knows none from 1024 on.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}


def file_name(manager: str) -> str:
    """A manager's name as the name of a file."""
    return "".join(c if c.isalnum() else "-" for c in manager)


def hints_folder(path: Path) -> Path:
    """Where the listeners of this SQLite database keep their sockets."""
    return path.with_name(f"{path.name}.hints")


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A name for the folder that fits a socket's address, which holds about 100 characters."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)

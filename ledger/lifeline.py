"""A manager's lifeline: a lock that it holds for as long as it lives, and nobody holds for it.

A session's advisory lock on PostgreSQL, an `flock` on a file of its own on SQLite: the server and
the kernel let go of them when the process ends, however it ends. `ledger.death` looks at them.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

import forks
from database import Database, DatabaseAway
from ledger.hints import file_name, readable

RETAKE_SECONDS = (0.1, 1.0)
CHECK_SECONDS = 5.0
START_SECONDS = 5.0

LOCK = "lock"
NO_PROOF = "none"

# Which run of the server this is: session locks are lost when it is started anew, and also when
# it starts itself anew after the crash of one process, which only its statistics tell. Somebody
# may set these back by hand, too, which costs no lock.
SERVER = """(extract(epoch FROM pg_postmaster_start_time())::text || '/' ||
    coalesce((SELECT extract(epoch FROM stats_reset)::text FROM pg_stat_bgwriter), ''))"""

# The key of a manager's advisory lock; the number keeps it apart from other users of such locks.
KEY = "hashtextextended({id}, 4271859307)"

TAKE = f"SELECT pg_try_advisory_lock({KEY.format(id='%s')}), {SERVER}"
HELD = f"""
    SELECT pg_backend_pid() = %s AND EXISTS (
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND pid = pg_backend_pid() AND mode = 'ExclusiveLock'
        AND (classid::bigint << 32 | objid::bigint) = {KEY.format(id="%s")}), {SERVER}"""

_log = logging.getLogger("capataz.ledger")


class Proof(NamedTuple):
    """What a manager's row says of its lock: `epoch` counts how often it was taken, `server` is
    the run of the server that keeps it."""

    kind: str = NO_PROOF
    epoch: int = 0
    server: str | None = None


UNPROVEN = Proof()


class Lifeline:
    """Holds the lock of one manager; taken again, under a new epoch, when the server lost it.

    `changed` is called after changes of `proof`, from a thread of its own: however long it takes,
    the lock does not wait for it.
    """

    def __init__(self, database: Database, manager: str) -> None:
        self._database = database
        self._manager = manager
        self._wake, self._end = os.pipe()
        self._file: _HeldFile | None = None
        self._threads: list[threading.Thread] = []
        self._first = threading.Event()
        self._news = threading.Event()
        self._lock = threading.Lock()
        self._wait = RETAKE_SECONDS[0]
        self._closed = False
        self.proof = UNPROVEN
        self.changed: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Take the lock; without it, after 5 s at most, the manager starts with no proof."""
        if self._database.path is not None:
            self._hold_file(self._database.path)
            return
        for name, work in (("lifeline", self._run), ("lifeline news", self._announce)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._first.wait(START_SECONDS)

    def close(self) -> None:
        """Let go of the lock. Safe twice, and before start."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        os.write(self._end, b"x")
        self._news.set()
        for thread in self._threads:
            thread.join(5)
        if self._file is not None:
            self._file.remove()
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self._end)
            os.close(self._wake)

    def _hold_file(self, database: Path) -> None:
        try:
            self._file = _HeldFile(lifeline_file(database, self._manager))
            self.proof = Proof(LOCK, 1)
        except OSError as error:
            _log.warning(
                "no proof of life: only silence will tell a death", extra={"reason": str(error)}
            )

    def _run(self) -> None:
        while not self._closed:
            again = True
            try:
                again = self._hold()
            except (DatabaseAway, psycopg.Error, OSError):
                pass
            except Exception:
                _log.exception("the lock that proves life failed; taking it again")
            if not self._closed and self.proof.kind == LOCK:
                self._say(self.proof._replace(kind=NO_PROOF))
            self._first.set()
            if not again or self._told_to_end(self._wait):
                return
            self._wait = min(2 * self._wait, RETAKE_SECONDS[1])

    def _hold(self) -> bool:
        """Take the lock and watch over it; True when it is to be taken again."""
        with self._database.session() as connection:
            descriptor = connection.fileno()
            forks.keep(descriptor)
            try:
                if self._database.pooled:
                    _log.warning("no proof of life behind a pooler: only silence will tell a death")
                    return False
                taken, server = connection.execute(TAKE, (self._manager,)).fetchone()
                if not taken:
                    return True
                self._wait = RETAKE_SECONDS[0]
                self._say(Proof(LOCK, self.proof.epoch + 1, server))
                while not self._told_to_end(CHECK_SECONDS, descriptor):
                    ours, server = self._look(connection)
                    if not ours:
                        return True
                    if server != self.proof.server:
                        self._say(self.proof._replace(server=server))
                return False
            finally:
                forks.forget(descriptor)
                # The lock goes with the session, which so must not go back to the pool.
                self._database.discard()

    def _look(self, connection: Any) -> tuple[bool, str]:
        """Whether the lock is still ours, and the run of the server now."""
        asked = connection.info.backend_pid, self._manager
        ours, server = connection.execute(HELD, asked).fetchone()
        return bool(ours), server

    def _say(self, proof: Proof) -> None:
        self.proof = proof
        self._first.set()
        self._news.set()

    def _announce(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if self._closed:
                return
            try:
                self.changed()
            except Exception:
                _log.exception("a change of the proof of life could not be told; a beat will")

    def _told_to_end(self, seconds: float, *descriptors: int) -> bool:
        return self._wake in readable([self._wake, *descriptors], seconds)


def lifeline_file(database: Path, manager: str) -> Path:
    """The file whose lock a manager on this SQLite database holds while it lives."""
    return database.with_name(f"{database.name}.managers") / file_name(manager)


class _HeldFile:
    """A locked file, let go of when this process ends; a forked child does not keep it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        forks.keep(self._descriptor)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._let_go()
            raise

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._let_go()

    def _let_go(self) -> None:
        forks.forget(self._descriptor)
        os.close(self._descriptor)

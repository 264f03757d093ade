"""Proof of death: which managers are gone for certain, long before their stale time is over.

A manager is dead when its lock is free although the server that kept it never stopped. A lock is
also free when only the session that held it was cut. So on the host of the manager itself its
process must be gone too. And two looks some seconds apart must agree, further apart where nobody
can look at the process: who lives takes its lock again under a new epoch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from database import Database, Sql, Transaction
from ledger.lifeline import KEY, LOCK, SERVER, lifeline_file
from ledger.record import note

# The exclusive lock is the manager's; who only asks whether it is free has a shared one.
SUSPECTS = Sql(
    sqlite="""
    SELECT id, epoch, pid, process FROM manager
    WHERE ended_on IS NULL AND proof = 'lock' AND id <> :me ORDER BY id""",
    postgres=f"""
    SELECT m.id, m.epoch, m.pid, m.process FROM manager AS m
    WHERE m.ended_on IS NULL AND m.proof = 'lock' AND m.id <> :me AND m.server = {SERVER}
        AND NOT EXISTS (
            SELECT 1 FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.objsubid = 1
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND l.mode = 'ExclusiveLock'
            AND (l.classid::bigint << 32 | l.objid::bigint) = {KEY.format(id="m.id")})
    ORDER BY m.id""",
)

# Until the transaction ends the manager, should it live, cannot take it either.
ASK_FOR_LOCK = Sql(f"SELECT pg_try_advisory_xact_lock_shared({KEY.format(id=':dead')})")

# What must be true of the row of a dead manager still, when something is done about it: that the
# server has not lost all locks since, either.
IS_DEAD = "m.id = :dead AND m.epoch = :epoch AND m.proof = 'lock' AND m.ended_on IS NULL"
OF_THIS_SERVER = f"AND m.server = {SERVER}"

_BURY = f"""
    UPDATE manager AS m SET state = 'lost', ended_on = {{now}}
    WHERE {IS_DEAD} AND NOT EXISTS (
        SELECT 1 FROM job_order AS o WHERE o.status = 'wip' AND o.manager = :dead)
        %s RETURNING id"""
BURY = Sql(sqlite=_BURY % "", postgres=_BURY % OF_THIS_SERVER)

CLOCK = Sql("SELECT {now}")

UPTIME = Sql(
    sqlite="SELECT NULL",
    postgres="""
    SELECT CAST(extract(epoch FROM clock_timestamp() - greatest(pg_postmaster_start_time(),
        (SELECT stats_reset FROM pg_stat_bgwriter))) * 1000 AS BIGINT)""",
)


class Suspect(NamedTuple):
    """A manager whose lock is free, as of this epoch of it.

    `gone`: its process has ended for certain; else it may be at work, cut off from the server.
    """

    id: str
    epoch: int
    gone: bool = False

    def sought(self) -> dict[str, Any]:
        """The parameters of `IS_DEAD`."""
        return {"dead": self.id, "epoch": self.epoch}


def suspects(database: Database, me: str) -> list[Suspect]:
    """The managers other than `me` whose lock is free and whose process, if here, is gone.

    Raises `DatabaseAway`.
    """
    found = []
    for name, epoch, pid, process in database.read(SUSPECTS, {"me": me}):
        if database.path is not None and not _is_free(lifeline_file(database.path, name)):
            continue
        if process is None:
            # The kernel let go of its file; of a session less is known.
            gone = database.path is not None
        elif process == process_mark(pid):
            continue
        else:
            gone = process.startswith(f"{_here()}/")
        found.append(Suspect(name, epoch, gone))
    return found


def is_lock_free(transaction: Transaction, database: Database, dead: Suspect) -> bool:
    """Whether the lock is free at this moment, and on PostgreSQL until the transaction ends."""
    if database.path is not None:
        return _is_free(lifeline_file(database.path, dead.id))
    return bool(transaction.rows(ASK_FOR_LOCK, {"dead": dead.id})[0][0])


def bury(database: Database, dead: Suspect) -> bool:
    """Note that a manager, of whose orders none is left, is lost; whether this did it.

    Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> bool:
        if not is_lock_free(transaction, database, dead):
            return False
        if not transaction.rows(BURY, dead.sought()):
            return False
        note(transaction, "manager_lost", dead.id, proof=LOCK)
        return True

    done = database.write(work)
    if done and database.path is not None:
        with contextlib.suppress(OSError):
            lifeline_file(database.path, dead.id).unlink()
    return done


def server_uptime(database: Database) -> float:
    """Seconds since the database server can have been away last; on SQLite there is none.

    Raises `DatabaseAway`.
    """
    (milliseconds,) = database.read(UPTIME)[0]
    return float("inf") if milliseconds is None else milliseconds / 1000


def clock(database: Database) -> float:
    """Seconds since 1970 by the clock that says how old a sign of life is.

    Raises `DatabaseAway`.
    """
    return int(database.read(CLOCK)[0][0]) / 1000


def process_mark(pid: int) -> str | None:
    """What tells a process of this host from every other, before or after it; None when there is
    none alive, or the system does not tell."""
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    here = _here()
    return None if here is None or state in "ZX" else f"{here}/{pid}/{started}"


@cache
def _here() -> str | None:
    """This boot of this host, and the name space that its process ids belong to."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _is_free(file: Path) -> bool:
    """Whether nobody holds the file's lock; a file that is not there proves nothing."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True

"""Taking back the work of holders that are gone."""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from typing import Any

from database import Database, Sql, Transaction
from ledger.callbacks import call_back
from ledger.death import IS_DEAD, OF_THIS_SERVER, Suspect, is_lock_free
from ledger.ids import text_id
from ledger.orders import Rescued
from ledger.record import Record, keep_attempts
from models import FAILED, PENDING, WIP

MAX_CRASHES = 3
BATCH = 500

SILENT = "no sign of life from {} for its stale time"
GONE = "the process of {} is gone: nobody holds its lock"
DEAD = "{} is gone: nobody holds its lock, nor took it again"
GIVEN_UP = "{} could not write down what it came to"

# What an event says of the holder.
PROOFS = {SILENT: "silent", GONE: "dead", DEAD: "dead", GIVEN_UP: "gave up"}

_COLUMNS = """o.id, o.lease, o.type, o.queue, o.manager, o.worker, o.attempts, o.crashes,
        o.started_on, o.last_updated"""


def _locking(selection: str, guard: str = "", also: str = "") -> Sql:
    """The selection in the order of ids, locked; the plus keeps SQLite from walking the whole
    table for that order. `guard` and `also` are for PostgreSQL."""
    locked = f"FOR UPDATE OF o SKIP LOCKED {also}"
    return Sql(
        sqlite=f"{selection} ORDER BY +o.id LIMIT :most",
        postgres=f"{selection} {guard} ORDER BY o.id LIMIT :most {locked}",
    )


# A holder's own stale time decides; `:stale` is for orders whose manager's row is gone. Of one that
# beats, an order may have been left out because somebody had it locked: that it is not renewed says
# nothing yet, and what it has given up it takes back itself.
STALE = _locking(f"""
    SELECT {_COLUMNS} FROM job_order AS o LEFT JOIN manager AS m ON m.id = o.manager
    WHERE o.status = 'wip' AND o.last_updated < {{now}} - coalesce(m.stale_ms, :stale)
        AND o.manager IS DISTINCT FROM CAST(:me AS TEXT)
        AND (m.id IS NULL OR m.ended_on IS NOT NULL OR m.last_beat < {{now}} - m.stale_ms)""")

OWN = _locking(f"""
    SELECT {_COLUMNS} FROM job_order AS o
    WHERE o.status = 'wip' AND o.manager = :me AND o.last_updated < {{now}} - :stale""")

# The proof is asked for again here: who lives has taken its lock anew, under another epoch. Its row
# is locked too, since only locked rows are looked at again when a beat of it commits meanwhile.
ORPHANED = _locking(
    f"""
    SELECT {_COLUMNS} FROM manager AS m JOIN job_order AS o ON o.manager = m.id
    WHERE {IS_DEAD} AND o.status = 'wip'""",
    OF_THIS_SERVER,
    "FOR SHARE OF m SKIP LOCKED",
)

TAKE_BACK = Sql("""
    UPDATE job_order SET status = 'pending', crashes = crashes + 1, run_at = {now} + :delay_ms,
        last_updated = {now}, manager = NULL, worker = NULL, started_on = NULL, progress = NULL
    WHERE id = :id AND lease = :lease AND status = 'wip' AND last_updated = :seen""")

GIVE_UP = Sql("""
    UPDATE job_order SET status = 'failed', crashes = crashes + 1, error = :error,
        completed_on = {now}, last_updated = {now},
        run_ms = :run_ms
    WHERE id = :id AND lease = :lease AND status = 'wip' AND last_updated = :seen""")


def rescue(
    database: Database,
    stale_ms: int,
    me: str | None = None,
    *,
    max_crashes: int = MAX_CRASHES,
    rng: random.Random | None = None,
) -> list[Rescued]:
    """Take back every order for which, like its holder, there was no sign of life for the
    holder's own stale time.

    Each goes back to pending after a jittered back-off, or ends as failed with `Crashed` at its
    `max_crashes`-th crash. At most 500 at a time. `stale_ms` is for holders that left no row; what
    the manager `me` holds, who rescues and so is alive, is left to others. Raises `DatabaseAway`.
    """
    sought = {"stale": stale_ms, "me": me, "most": BATCH}
    taking = _Taking(SILENT, max_crashes, rng)
    return database.write(lambda transaction: taking.back(transaction, STALE, sought))


def rescue_own(
    database: Database,
    stale_ms: int,
    me: str,
    held: Collection[tuple[str, int]],
    *,
    max_crashes: int = MAX_CRASHES,
    rng: random.Random | None = None,
) -> list[Rescued]:
    """The same for the orders of the manager `me`, who calls this, that it holds no more.

    `held` are the leases (id, lease) that it had in hand before the call. Raises `DatabaseAway`.
    """
    sought = {"stale": stale_ms, "me": me, "most": BATCH}
    taking = _Taking(GIVEN_UP, max_crashes, rng)
    return database.write(lambda transaction: taking.back(transaction, OWN, sought, held))


def rescue_orphans(
    database: Database,
    dead: Suspect,
    *,
    max_crashes: int = MAX_CRASHES,
    rng: random.Random | None = None,
) -> list[Rescued]:
    """The same for the orders of a manager that is proven dead, whatever its stale time.

    None when its lock is not free any more, or has been taken anew since. Raises `DatabaseAway`.
    """
    sought = {**dead.sought(), "most": BATCH}
    taking = _Taking(GONE if dead.gone else DEAD, max_crashes, rng)

    def work(transaction: Transaction) -> list[Rescued]:
        if not is_lock_free(transaction, database, dead):
            return []
        return taking.back(transaction, ORPHANED, sought)

    return database.write(work)


class _Taking:
    """How the selected orders are taken back, within a transaction."""

    def __init__(self, reason: str, max_crashes: int, rng: random.Random | None) -> None:
        self._reason = reason
        self._proof = PROOFS[reason]
        self._max_crashes = max_crashes
        self._chance = rng or random.Random()  # noqa: S311 (jitter, no secret)

    def back(
        self,
        transaction: Transaction,
        selection: Sql,
        sought: dict[str, Any],
        held: Collection[tuple[str, int]] = (),
    ) -> list[Rescued]:
        found = [_lost(row) for row in transaction.rows(selection, sought)]
        lost = [order for order in found if (text_id(order["id"]), order["lease"]) not in held]
        if not lost:
            return []
        back = [order for order in lost if order["crashes"] + 1 < self._max_crashes]
        dead = [order for order in lost if order["crashes"] + 1 >= self._max_crashes]
        for order in back:
            order["delay_ms"] = backoff_ms(order["crashes"] + 1, self._chance)
            order["error"] = _error("WorkerLost", order, self._reason, "it will run again")
        for order in dead:
            last = f"crash {self._max_crashes}, the last allowed"
            order["error"] = _error("Crashed", order, self._reason, last)
        transaction.many(TAKE_BACK, back)
        keep_attempts(transaction, [order | {"outcome": "worker_lost"} for order in back])
        transaction.many(GIVE_UP, dead)
        _record(transaction, self._proof, back, dead)
        if dead:
            call_back(transaction, [text_id(order["id"]) for order in dead])
        return [_rescued(o, PENDING) for o in back] + [_rescued(o, FAILED) for o in dead]


def backoff_ms(attempt: int, chance: random.Random) -> int:
    """Exponential back-off with full jitter: random(0, min(2^(attempt-1) s, 1 h)), in ms."""
    return int(chance.uniform(0, min(2.0 ** min(attempt - 1, 12), 3600)) * 1000)


def _lost(row: tuple[Any, ...]) -> dict[str, Any]:
    names = (
        "id",
        "lease",
        "type",
        "queue",
        "manager",
        "worker",
        "number",
        "crashes",
        "started_on",
        "seen",
    )
    order = dict(zip(names, row, strict=True))
    began = order["started_on"]
    order["run_ms"] = None if began is None else order["seen"] - began
    return order


def _error(kind: str, order: dict[str, Any], reason: str, fate: str) -> str:
    message = f"{reason.format(order['manager'])}; {fate}"
    return json.dumps({"type": kind, "message": message})


def _rescued(order: dict[str, Any], status: str) -> Rescued:
    return Rescued(text_id(order["id"]), order["lease"], order["manager"], status)


def _record(
    transaction: Transaction, proof: str, back: list[dict[str, Any]], dead: list[dict[str, Any]]
) -> None:
    record = Record()
    for orders, status, kind in ((back, PENDING, "rescued"), (dead, FAILED, "crashed")):
        for order in orders:
            record.move(order["queue"], order["type"], WIP, status, order["run_ms"])
        if orders:
            record.event(
                kind,
                [text_id(order["id"]) for order in orders],
                managers=[order["manager"] for order in orders],
                workers=[order["worker"] for order in orders],
                attempts=[order["number"] for order in orders],
                crashes=[order["crashes"] + 1 for order in orders],
                delays=[order.get("delay_ms") for order in orders],
                holder=proof,
            )
    record.write(transaction)

"""What is to be seen of the whole system at a moment, at the same cost for any number of orders."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from database import Database, Sql
from ledger.broker import broker_outages
from ledger.condition import BUSY_PART, LASTING_MS, MUCH_WORK_MS, Signs, Trouble
from ledger.managers import ManagerRow, managers
from ledger.spans import span
from ledger.totals import Totals
from ledger.waiting_times import count_due, oldest
from ledger.workers import BUSY, count_workers
from models import PENDING

# So many of the rarer events are looked through for trouble.
RECENT_EVENTS = 2_000
# Due orders are counted so far.
MOST_DUE = 10_000

TROUBLES = {
    "rescued": "orders were taken back from a manager that died or fell silent",
    "crashed": "an order failed that took its holder down once too often",
    "worker_lost": "a worker was lost",
    "worker_replaced": "a worker hung and was replaced",
    "manager_lost": "a manager died, and its workers were lost",
    "database_away": "the database was away",
    "broker_back": "the broker was away",
}
# What is told when it is over, with when it was.
SPANS = ("database_away", "broker_back")
_KINDS = ", ".join(f"'{kind}'" for kind in TROUBLES)

EVENTS = Sql(f"""
    SELECT at, kind, data FROM event WHERE id IN (
        SELECT id FROM (
            SELECT id, kind FROM event
            WHERE kind NOT IN ('submitted', 'claimed', 'completed', 'retrieved')
            ORDER BY id DESC LIMIT {RECENT_EVENTS}) AS latest
        WHERE kind IN ({_KINDS}))
    AND at > {{now}} - :ms ORDER BY at, id""")


class Sight(NamedTuple):
    """Levels, managers, workers and waits; times in ms.

    `due_since` is since when the oldest order that is due waits, in paused queues too.
    """

    now: int
    by_status: Mapping[str, int]
    mean_ms: int
    managers: Sequence[ManagerRow]
    workers: Mapping[str, int]
    due_since: int | None
    signs: Signs


def look(database: Database, totals: Totals | None = None) -> Sight:
    """All that is to be seen now; quicker for who looks often, with totals of its own.

    Raises `DatabaseAway`.
    """
    with database.session():
        by_status: Counter[str] = Counter()
        found = (totals or Totals(database)).moves()
        for level in found.by_queue.values():
            by_status.update(level)
        mean = round(found.run_ms / found.runs) if found.runs else 0
        crews = managers(database)
        workers = count_workers(database)
        troubles = [*_told(database), *_untold(crews), *_lasting(database)]
        due, runnable, now = oldest(database)
        signs = Signs(
            now,
            runnable,
            _is_loaded(database, crews, workers.get(BUSY, 0), by_status[PENDING], mean),
            sorted(troubles),
        )
    return Sight(now, by_status, mean, crews, workers, due, signs)


def _told(database: Database) -> list[Trouble]:
    """What the events of the last two minutes tell: one more than a state outlives its cause."""
    found = []
    for at, kind, data in database.read(EVENTS, {"ms": 2 * LASTING_MS}):
        begin = end = int(at)
        what = TROUBLES[kind]
        if kind in SPANS:
            facts = json.loads(data)
            begin, end = int(facts["from"]), int(facts["to"])
            what += f" for {span(end - begin)}"
        found.append(Trouble(begin, end, what))
    return found


def _untold(crews: Sequence[ManagerRow]) -> list[Trouble]:
    """Managers that are lost while nobody is left to say so."""
    lost = (one for one in crews if one.ended_on is None and one.silent_ms >= one.stale_ms)
    times = (one.last_beat + one.stale_ms for one in lost)
    return [Trouble(at, at, "a manager fell silent, and its workers are lost") for at in times]


def _lasting(database: Database) -> list[Trouble]:
    """Brokers that are away still."""
    what = "the broker is away, and managers poll the database"
    return [Trouble(one.since, one.now, what) for one in broker_outages(database)]


def _is_loaded(
    database: Database, crews: Sequence[ManagerRow], busy: int, pending: int, mean_ms: int
) -> bool:
    slots = sum(one.slots for one in crews if one.lives)
    much = slots * MUCH_WORK_MS
    if not slots or busy < BUSY_PART * slots or pending * mean_ms <= much:
        return False
    # What is not due yet, or paused, is no load.
    due = count_due(database, MOST_DUE)
    return (pending if due == MOST_DUE else due) * mean_ms > much

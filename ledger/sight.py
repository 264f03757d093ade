"""What is to be seen of the whole system at a moment, at the same cost for any number of orders."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from database import Database, Sql
from ledger.condition import BUSY_PART, LASTING_MS, MUCH_WORK_MS, Signs, Trouble
from ledger.managers import ManagerRow, managers
from ledger.spans import span
from ledger.tallies import RUNS
from ledger.waits import count_due, oldest
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
}
_KINDS = ", ".join(f"'{kind}'" for kind in TROUBLES)

EVENTS = Sql(f"""
    SELECT at, kind, data FROM event WHERE id IN (
        SELECT id FROM (
            SELECT id, kind FROM event
            WHERE kind NOT IN ('submitted', 'claimed', 'completed', 'retrieved')
            ORDER BY id DESC LIMIT {RECENT_EVENTS}) AS latest
        WHERE kind IN ({_KINDS}))
    AND at > {{now}} - :ms ORDER BY at, id""")

LEVELS = Sql("""
    SELECT queue, status, CAST(sum(n) AS BIGINT) FROM (
        SELECT queue, after AS status, sum(n) AS n FROM tally GROUP BY queue, after
        UNION ALL SELECT queue, before, -sum(n) FROM tally GROUP BY queue, before
    ) AS moves WHERE status <> '' GROUP BY queue, status""")

NOW = Sql("SELECT {now}")


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


def queue_levels(database: Database) -> dict[str, Counter[str]]:
    """How many orders of each queue stand in each status. Raises `DatabaseAway`."""
    found: dict[str, Counter[str]] = {}
    for queue, status, n in database.read(LEVELS):
        found.setdefault(queue, Counter())[status] = int(n)
    return found


def look(database: Database) -> Sight:
    """All that is to be seen now. Raises `DatabaseAway`."""
    with database.session():
        by_status: Counter[str] = Counter()
        for level in queue_levels(database).values():
            by_status.update(level)
        runs, run_ms = database.read(RUNS)[0]
        mean = round(run_ms / runs) if runs else 0
        crews = managers(database)
        workers = count_workers(database)
        troubles = [*_told(database), *_untold(crews)]
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
        facts: dict[str, int] = json.loads(data) if data and kind == "database_away" else {}
        begin, end = facts.get("from", at), facts.get("to", at)
        what = TROUBLES[kind] + (f" for {span(end - begin)}" if facts else "")
        found.append(Trouble(begin, end, what))
    return found


def _untold(crews: Sequence[ManagerRow]) -> list[Trouble]:
    """Managers that are lost while nobody is left to say so."""
    lost = (one for one in crews if one.ended_on is None and one.silent_ms >= one.stale_ms)
    times = (one.last_beat + one.stale_ms for one in lost)
    return [Trouble(at, at, "a manager fell silent, and its workers are lost") for at in times]


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

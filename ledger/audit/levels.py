"""Whether the tallies say what the table says, and setting them right by hand.

All is read in one statement, so that it is of one moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from database import Database, Row, Sql, Transaction
from ledger.audit.finding import REPORT, Rule
from ledger.record import note
from models import CANCELLED, COMPLETED, FAILED, MOVES, NOTHING, PENDING, RETRIEVED, STATUSES, WIP

# Rows are counted so far and no further: a few milliseconds. A table of no more rows than that is
# compared whole; of a larger one only the states that have an index, as far as they can be counted.
MOST_COUNTED = 20_000
# What failed or was cancelled lies scattered over the table.
MOST_UNHAPPY = 2_000
LIVE: Final = (PENDING, WIP)
SCATTERED: Final = (FAILED, CANCELLED)

_LEVELS = """
    SELECT 'level', status, CAST(sum(n) AS BIGINT) FROM (
        SELECT after AS status, sum(n) AS n FROM tally GROUP BY after
        UNION ALL SELECT before, -sum(n) FROM tally GROUP BY before
    ) AS moves WHERE status <> '' GROUP BY status"""
_SOME = """
    SELECT 'row', status, count(*) FROM (SELECT status FROM job_order LIMIT :most) AS counted
    GROUP BY status"""


# SQLite takes an index of two states for one of them only when both are named; PostgreSQL would
# misjudge how many there are.
def _each(unhappy: str) -> str:
    return "\n    UNION ALL ".join(
        f"SELECT 'indexed', '{status}', count(*) FROM (SELECT 1 FROM job_order WHERE {condition}"
        f"status = '{status}' {limit}) AS counted_{status}"
        for status, condition, limit in (
            *((status, "", "LIMIT :most") for status in LIVE),
            *((status, unhappy, "ORDER BY id LIMIT :few") for status in SCATTERED),
        )
    )


COUNTS = Sql(
    sqlite=f"{_LEVELS} UNION ALL {_SOME} UNION ALL "
    + _each("status IN ('failed', 'cancelled') AND "),
    postgres=f"{_LEVELS} UNION ALL {_SOME} UNION ALL {_each('')}",
)
ALL = Sql(f"{_LEVELS} UNION ALL SELECT 'row', status, count(*) FROM job_order GROUP BY status")

PAIRS = Sql("SELECT before, after, CAST(sum(n) AS BIGINT) FROM tally GROUP BY before, after")

LEVELS_DRIFT = Rule(
    "levels_drift",
    "the figures are not those of the table: the orders themselves are right",
    f"run `manage.py check --correct` to set the figures right, and {REPORT}",
)
UNKNOWN_MOVE = Rule(
    "unknown_move",
    "the figures count moves that no order can make",
    f"was the database changed by hand? else {REPORT}",
)

# The legal move whose count, even a negative one, changes the level of that status alone; those of
# what runs go through what waits.
CORRECTIONS: Final = {
    PENDING: ((NOTHING, PENDING, 1),),
    WIP: ((NOTHING, PENDING, 1), (PENDING, WIP, 1)),
    COMPLETED: ((COMPLETED, NOTHING, -1),),
    RETRIEVED: ((RETRIEVED, NOTHING, -1),),
    FAILED: ((FAILED, NOTHING, -1),),
    CANCELLED: ((CANCELLED, NOTHING, -1),),
}
CORRECT = Sql("""
    INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms)
    VALUES ({now} / 60000, '', '', :before, :after, :n, 0, 0)""")
ALONE = Sql("LOCK TABLE tally IN SHARE ROW EXCLUSIVE MODE")


def drift(database: Database, *, thorough: bool = False) -> dict[str, int]:
    """By status, how many more orders the tallies tell of than there are.

    `thorough` counts the whole table however large it is. Raises `DatabaseAway`.
    """
    if thorough:
        return _difference(database.read(ALL), {})
    bounds = {"most": MOST_COUNTED, "few": MOST_UNHAPPY}
    return _difference(database.read(COUNTS, bounds), bounds)


def _difference(rows: list[Row], bounds: Mapping[str, int]) -> dict[str, int]:
    """`bounds` are those up to which it was counted; without any, it was all."""
    found: dict[str, Counter[str]] = {"level": Counter(), "row": Counter(), "indexed": Counter()}
    for source, status, count in rows:
        found[source][status] = int(count)
    is_whole = not bounds or found["row"].total() < bounds["most"]
    differences = {}
    for status in STATUSES:
        level, counted = found["level"][status], found["row"][status]
        if not is_whole and status in (*LIVE, *SCATTERED):
            counted = found["indexed"][status]
            is_all = counted < bounds["most" if status in LIVE else "few"]
        else:
            is_all = is_whole
        # Of what was not counted to its end there may be more.
        difference = level - counted if is_all else min(0, level - counted)
        if difference:
            differences[status] = difference
    return differences


def unknown_moves(database: Database) -> list[str]:
    """The moves that the tallies count although there are none such. Raises `DatabaseAway`."""
    return sorted(
        f"{before or 'nothing'} to {after or 'nothing'}"
        for before, after, n in database.read(PAIRS)
        if n and after not in MOVES.get(before, ())
    )


def correct_levels(database: Database) -> dict[str, int]:
    """Count the whole table and let the tallies say the same; what they said too much.

    Moves wait meanwhile. What was counted per queue and type stays as wrong as it was. Raises
    `DatabaseAway`.
    """

    def work(transaction: Transaction) -> dict[str, int]:
        if transaction.dialect == "postgresql":
            transaction.run(ALONE)
        wrong = _difference(transaction.rows(ALL), {})
        for status, difference in wrong.items():
            for before, after, sign in CORRECTIONS[status]:
                given = {"before": before, "after": after, "n": -difference * sign}
                transaction.run(CORRECT, given)
        if wrong:
            note(transaction, "levels_corrected", wrong=wrong)
        return wrong

    return database.write(work)

"""Samples of what workers use, for charts: one row a manager and stretch of time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from database import Database, Sql, Transaction
from ledger.workers import SEPARATOR

# Seconds that a sample stands for, and how long such samples are kept, in minutes.
GRAINS: Final = {10: 30, 60: 130}
# Of the finer ones a page of at most so many minutes is made.
FINE_MINUTES = 20
# So many rows are read at most, the newest: of a large fleet the chart begins later.
MOST_ROWS = 2_000

KEEP = Sql("""
    INSERT INTO usage_sample (grain, at, manager, content)
    VALUES (:grain, {now} / (:grain * 1000) * (:grain * 1000), :manager, :content)
    ON CONFLICT (grain, at, manager) DO UPDATE SET content = excluded.content""")
PRUNE = Sql("DELETE FROM usage_sample WHERE grain = :grain AND at < {now} - :ms")
READ = Sql("""
    SELECT at, manager, content FROM usage_sample
    WHERE grain = :grain AND at >= {now} - :ms ORDER BY grain DESC, at DESC LIMIT :most""")


class Used(NamedTuple):
    """Percent of one core, None where nobody knows, and MiB."""

    cpu: float | None
    ram_mb: float


class Usage(NamedTuple):
    """By worker and time (ms) what was used, in stretches of `grain` seconds; `is_cut`: there is
    more than could be read."""

    grain: int
    times: list[int]
    workers: dict[str, dict[int, Used]]
    is_cut: bool


def keep_usage(database: Database, manager: str, samples: Mapping[int, Mapping[int, Used]]) -> None:
    """Keep samples of a manager's workers, by grain and number of worker; forget old ones of all.

    Raises `DatabaseAway`.
    """

    def work(transaction: Transaction) -> None:
        for grain, used in samples.items():
            content = json.dumps(used, separators=(",", ":"))
            given = {"grain": grain, "manager": manager, "content": content}
            transaction.run(KEEP, given)
            transaction.run(PRUNE, {"grain": grain, "ms": GRAINS[grain] * 60_000})

    database.write(work)


def usage(database: Database, minutes: int) -> Usage:
    """What the workers used in the last minutes. Raises `DatabaseAway`."""
    grain = 10 if minutes <= FINE_MINUTES else 60
    span = {"grain": grain, "ms": minutes * 60_000}
    rows = database.read(READ, span | {"most": MOST_ROWS + 1})
    workers: dict[str, dict[int, Used]] = {}
    for at, manager, content in reversed(rows[:MOST_ROWS]):
        for number, used in json.loads(content).items():
            workers.setdefault(f"{manager}{SEPARATOR}{number}", {})[at] = Used(*used)
    times = sorted({at for at, _, _ in rows[:MOST_ROWS]})
    return Usage(grain, times, workers, len(rows) > MOST_ROWS)

"""What is known of a broker: whether it is there, and what its queues hold, as the relay last saw.

It lies with the chore of the relay, whose holder writes it; nobody else need talk to the broker.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from database import Database, Sql, Transaction
from ledger.record import note

CHORE = "relay:"
# A relay that has written nothing for so long tells nothing about now.
FRESH_MS = 30_000

SEEN = Sql(f"""
    SELECT name, data, {{now}} FROM chore
    WHERE name LIKE '{CHORE}%' AND due_on > {{now}} - {FRESH_MS} AND data IS NOT NULL
    ORDER BY due_on DESC LIMIT 1""")
NOW = Sql("SELECT {now}")


class BrokerQueue(NamedTuple):
    """One queue of the broker; None is what it does not tell."""

    queue: str
    depth: int
    unacknowledged: int | None
    redelivered: int | None
    consumers: int


class BrokerSight(NamedTuple):
    """A broker; `away_since` (ms) is None while it is there."""

    name: str
    away_since: int | None
    queues: Sequence[BrokerQueue]
    now: int


def chore_of(transport: str) -> str:
    """The name of the chore of that transport's relay."""
    return CHORE + transport


def watch_broker(database: Database) -> BrokerSight | None:
    """What the relay has seen last, None where there is none. Raises `DatabaseAway`."""
    for name, data, now in database.read(SEEN):
        seen = json.loads(data)
        queues = [BrokerQueue(*row) for row in seen.get("queues", ())]
        return BrokerSight(name.removeprefix(CHORE), seen.get("away_since"), queues, now)
    return None


def note_broker_away(database: Database, manager: str, transport: str, reason: str) -> int:
    """Note that a broker cannot be reached; when that was (ms). Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> int:
        note(transaction, "broker_away", manager, transport=transport, reason=reason[:500])
        return int(transaction.rows(NOW)[0][0])

    return database.write(work)


def note_broker_back(database: Database, manager: str, transport: str, since: int) -> None:
    """Note that it is back, after so long (ms since 1970). Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> None:
        (now,) = transaction.rows(NOW)[0]
        span = {"from": since, "to": int(now)}
        note(transaction, "broker_back", manager, transport=transport, **span)

    database.write(work)

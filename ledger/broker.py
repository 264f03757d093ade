"""Outages of brokers, told by the relay: since when one lasts lies with the relay's chore."""

from __future__ import annotations

import json
from typing import NamedTuple

from database import Database, Sql, Transaction
from ledger.chores import keep_in
from ledger.record import note

CHORE = "relay:"
# A chore that nobody has for so long tells nothing about now.
FRESH_MS = 30_000

SEEN = Sql(f"""
    SELECT name, data, {{now}} FROM chore
    WHERE name LIKE '{CHORE}%' AND due_on > {{now}} - {FRESH_MS} AND data IS NOT NULL
    ORDER BY name""")
NOW = Sql("SELECT {now}")


class BrokerOutage(NamedTuple):
    """A broker that is away, since when (ms), as of `now`."""

    name: str
    since: int
    now: int


def chore_of(transport: str) -> str:
    """The name of the chore of that transport's relay."""
    return CHORE + transport


def broker_outages(database: Database) -> list[BrokerOutage]:
    """The brokers that are away just now. Raises `DatabaseAway`."""
    found = [(name, json.loads(data), now) for name, data, now in database.read(SEEN)]
    return [
        BrokerOutage(name.removeprefix(CHORE), left["away_since"], now)
        for name, left, now in found
        if "away_since" in left
    ]


def note_broker_away(
    database: Database, manager: str, transport: str, reason: str, hold_ms: int
) -> int | None:
    """Note that a broker cannot be reached, and keep the relay's chore for so long with that; since
    when (ms). None, and nothing noted, when another has the chore by now. Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> int | None:
        now = int(transaction.rows(NOW)[0][0])
        if not keep_in(transaction, chore_of(transport), manager, hold_ms, {"away_since": now}):
            return None
        note(transaction, "broker_away", manager, transport=transport, reason=reason[:500])
        return now

    return database.write(work)


def note_broker_back(
    database: Database, manager: str, transport: str, since: int, hold_ms: int
) -> bool:
    """Note that it is back, and was away since then (ms); False, and nothing noted, when another
    has the chore by now. Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> bool:
        if not keep_in(transaction, chore_of(transport), manager, hold_ms, {}):
            return False
        span = {"from": since, "to": int(transaction.rows(NOW)[0][0])}
        note(transaction, "broker_back", manager, transport=transport, **span)
        return True

    return database.write(work)

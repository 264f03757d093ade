"""Claiming by name: orders whose ids a broker has brought, under the same guards as any claim."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from database import Database, Sql, Transaction, id_list
from ledger.claim import HOLD, record_claim
from ledger.ids import text_id
from ledger.orders import Claimed, Lane

# What of those that were named can be claimed now, in the order in which they were named.
_CAN = """o.status {cast}= 'pending' AND o.run_at <= {{now}}
            AND (:every = 1 OR o.queue {among})
            AND o.queue NOT IN (SELECT name FROM queue WHERE paused_on IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM queue WHERE name = '*' AND paused_on IS NOT NULL)"""
_CAN_SQLITE = _CAN.format(cast="", among="IN (SELECT value FROM json_each(:served))")
_CAN_POSTGRES = _CAN.format(cast="|| '' ", among="= ANY(CAST(:served AS text[]))")
_NAMED_SQLITE = f"""
    named AS MATERIALIZED (
        SELECT unhex(replace(value, '-', '')) AS id, key AS nth FROM json_each(:ids)
    ), seen AS MATERIALIZED (
        SELECT o.id, o.type, row_number() OVER (ORDER BY named.nth) AS place
        FROM named CROSS JOIN job_order AS o WHERE o.id = named.id AND {_CAN_SQLITE}
    )"""
_NAMED_POSTGRES = f"""
    named AS MATERIALIZED (
        SELECT id, nth FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS n (id, nth)
    ), seen AS MATERIALIZED (
        SELECT o.id, o.type, row_number() OVER (ORDER BY named.nth) AS place
        FROM named JOIN job_order AS o ON o.id = named.id WHERE {_CAN_POSTGRES}
    )"""

# The first `free` may be of any type; behind them only types that are known to be short, up to the
# first that is not: a long order never waits behind a busy worker.
_CHOSEN = """
    chosen AS MATERIALIZED (
        SELECT id FROM seen
        WHERE place <= :most AND (place <= :free OR place < (
            SELECT coalesce(min(place), :most + 1) FROM seen WHERE place > :free AND NOT {short}))
    )"""
_TAKE = """
    UPDATE job_order{alias} SET status = 'wip', lease = {o}lease + 1, attempts = {o}attempts + 1,
        manager = :manager, worker = NULL, started_on = NULL, progress = NULL,
        last_updated = {{now}}
    WHERE {{which}}
    RETURNING {columns}, {{now}}"""
_COLUMNS = (
    *("id", "type", "queue", "priority", "payload", "lease", "attempts", "crashes"),
    *("max_attempts", "timeout_ms", "max_silence_ms", "run_at", "quarantined", "created_on"),
)


def _take(alias: str, which: str) -> str:
    o = "o." if alias else ""
    text = _TAKE.format(alias=alias, o=o, columns=", ".join(o + name for name in _COLUMNS))
    return text.replace("{which}", which)


# On PostgreSQL only what was chosen is locked, and what somebody else has locked is left.
CLAIM_NAMED = Sql(
    sqlite=f"""
    WITH {_NAMED_SQLITE},
    {_CHOSEN.format(short="type IN (SELECT value FROM json_each(:short))")}
    {_take("", "id IN (SELECT id FROM chosen) AND +status = 'pending'")}""",
    postgres=f"""
    WITH {_NAMED_POSTGRES},
    {_CHOSEN.format(short="type = ANY(CAST(:short AS text[]))")},
    picked AS MATERIALIZED (
        SELECT o.id FROM job_order AS o JOIN chosen ON o.id = chosen.id
        WHERE o.status || '' = 'pending' ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
    )
    {
        _take(
            " AS o",
            "o.id = ANY(ARRAY(SELECT id FROM picked)) AND o.status || '' = 'pending'",
        )
    }""",
)
LEFT = Sql(
    sqlite=f"WITH {_NAMED_SQLITE} SELECT id FROM seen ORDER BY place",
    postgres=f"WITH {_NAMED_POSTGRES} SELECT id FROM seen ORDER BY place",
)

# The first ids of a lane that are due, with their places in it, as a claim would walk them.
DUE = Sql("""
    SELECT o.id FROM job_order AS o
    WHERE o.status = 'pending' AND o.queue = :queue AND o.priority = :priority
        AND o.run_at <= {now} - CAST(:age_ms AS BIGINT)
        AND :queue NOT IN (SELECT name FROM queue WHERE paused_on IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM queue WHERE name = '*' AND paused_on IS NOT NULL)
    ORDER BY o.run_at, o.id LIMIT :most""")


class Taken(NamedTuple):
    """What became of a claim by name: the orders, and the ids of those that could still be claimed
    but were not, for want of room."""

    claimed: list[Claimed]
    left: list[str]


def claim_named(
    database: Database,
    manager: str,
    ids: Sequence[str],
    free: int,
    ahead: int = 0,
    short: Collection[str] = (),
    served: Sequence[str] = (),
) -> Taken:
    """Take those of these orders that wait, are due and not paused: `free` of any type, and `ahead`
    more of the types in `short`, in the order in which they are named.

    None of them is of a queue beside `served`, where that is given. Raises `DatabaseAway`.
    """
    names = list(dict.fromkeys(ids))
    most = free + (ahead if short else 0)
    if not names:
        return Taken([], [])
    which = _which(database, names, served)
    room = {"free": free, "most": most, "manager": manager, "short": _list(database, short)}
    places = {name: nth for nth, name in enumerate(names)}

    def work(transaction: Transaction) -> Taken:
        if transaction.dialect == "postgresql":
            transaction.run(HOLD)
        rows = transaction.rows(CLAIM_NAMED, which | room) if most > 0 else []
        claimed: list[Claimed] = []
        if rows:
            claimed = record_claim(transaction, manager, rows, lambda order: places[order.id])
        if len(names) <= free or len(claimed) == len(names):
            return Taken(claimed, [])
        last = places[claimed[-1].id] if claimed else (-1 if free <= 0 else len(names))
        still = [text_id(row[0]) for row in transaction.rows(LEFT, which)]
        # One before the last that was taken is locked by somebody, and in whose hands by now?
        return Taken(claimed, [one for one in still if places[one] > last])

    return database.write(work)


def due(database: Database, lane: Lane, most: int) -> list[str]:
    """The first ids in that lane that a claim could take now. Raises `DatabaseAway`."""
    given = {"queue": lane.queue, "priority": lane.priority, "age_ms": lane.age_ms, "most": most}
    return [text_id(row[0]) for row in database.read(DUE, given)]


def _which(database: Database, names: Sequence[str], served: Sequence[str]) -> dict[str, Any]:
    return {
        "ids": id_list(database.dialect, names),
        "every": 0 if served else 1,
        "served": _list(database, served),
    }


def _list(database: Database, values: Collection[str]) -> Any:
    return json.dumps(list(values)) if database.dialect == "sqlite" else list(values)

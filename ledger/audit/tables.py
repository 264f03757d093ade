"""What must be true of managers, workers, schedules, keys, events and past attempts.

Each rule's statement answers the names of what breaks it; the small tables are looked at whole, of
the large ones the newest rows, and of past attempts a stretch that moves on from audit to audit.
"""

from __future__ import annotations

from typing import Any, Final

from database import Database, Sql, Transaction
from ledger.audit.finding import AGE_MS, HOUR_MS, MENDED, MOST, REPORT, SLACK_MS, Rule
from ledger.ids import text_id

# A manager that was silent for so many times its stale time, and so long, is not coming back soon.
SILENCES = 10
LEAST_SILENCE_MS = 600_000
LATE_MS = 60_000
NEWEST = 200
STRETCH = 500

_FIRST_ID = "00000000-0000-0000-0000-000000000000"

_SILENT = f"""ended_on IS NULL AND state <> 'stopped'
        AND last_beat < {{now}} - {SILENCES} * stale_ms AND last_beat < {{now}} - {LEAST_SILENCE_MS}
        AND NOT EXISTS (
            SELECT 1 FROM job_order AS o WHERE o.status = 'wip' AND o.manager = manager.id)"""
_SOMEBODY = """EXISTS (
            SELECT 1 FROM manager AS m WHERE m.ended_on IS NULL AND m.state = 'running'
            AND m.last_beat > {now} - m.stale_ms)"""
_UNEVEN = "ended_on IS NULL AND state IN ('stopped', 'lost')"
_AHEAD = f"last_beat > {{now}} + {SLACK_MS}"
_HOMELESS = f"""seen_on < {{now}} - {SLACK_MS}
        AND NOT EXISTS (SELECT 1 FROM manager AS m WHERE m.id = worker.manager)"""
_PAUSED_BUT_DUE = "enabled = 0 AND next_fire IS NOT NULL"
_NAMES = f"ORDER BY 1 LIMIT {MOST}"

# Each with the statement that finds what breaks it.
RULES: Final[tuple[tuple[Rule, Sql], ...]] = (
    (
        Rule(
            "manager_silent",
            "managers count as living that have not beaten for ten times their stale time",
            "nothing: they count as lost now, until they beat again",
            Sql(f"""
            UPDATE manager SET state = 'lost', ended_on = {{now}}
            WHERE id = :key AND {_SILENT} RETURNING id"""),
        ),
        Sql(f"SELECT id FROM manager WHERE {_SILENT} {_NAMES}"),
    ),
    (
        Rule(
            "beat_ahead",
            "managers whose last beat lies in the future: their death would not be noticed",
            "is the clock of this host right? it was repaired",
            Sql(f"""
            UPDATE manager SET last_beat = {{now}} WHERE id = :key AND {_AHEAD} RETURNING id"""),
        ),
        Sql(f"SELECT id FROM manager WHERE {_AHEAD} {_NAMES}"),
    ),
    (
        Rule(
            "manager_half_ended",
            "managers that stopped or were lost, with no time of it: they count as living",
            MENDED,
            Sql(f"""
            UPDATE manager SET ended_on = last_beat WHERE id = :key AND {_UNEVEN} RETURNING id"""),
        ),
        Sql(f"SELECT id FROM manager WHERE {_UNEVEN} {_NAMES}"),
    ),
    (
        Rule(
            "worker_without_manager",
            "workers of managers that do not exist",
            "the audit of a manager removes them",
            Sql(f"DELETE FROM worker WHERE id = :key AND {_HOMELESS} RETURNING id"),
        ),
        Sql(f"SELECT id FROM worker WHERE {_HOMELESS} {_NAMES}"),
    ),
    (
        Rule(
            "schedule_overdue",
            "schedules are due for over a minute, and nobody makes their orders",
            "see the log of the managers; restart them if it says nothing",
        ),
        Sql(f"""
        SELECT name FROM schedule WHERE next_fire < {{now}} - {LATE_MS} AND enabled = 1
            AND {_SOMEBODY} {_NAMES}"""),
    ),
    (
        Rule(
            "schedule_paused_but_due",
            "schedules that are paused would fire all the same",
            "nothing: they do not fire until they are resumed",
            Sql(f"""
            UPDATE schedule SET next_fire = NULL WHERE name = :key AND {_PAUSED_BUT_DUE}
            RETURNING name"""),
        ),
        Sql(f"SELECT name FROM schedule WHERE {_PAUSED_BUT_DUE} {_NAMES}"),
    ),
    (
        Rule(
            "schedule_never",
            "schedules whose next fire is more than ten years ahead",
            "pause and resume them: that works out their next fire anew",
        ),
        Sql(f"SELECT name FROM schedule WHERE next_fire > {{now}} + {AGE_MS} {_NAMES}"),
    ),
    (
        Rule(
            "key_ahead",
            "idempotency keys from the future would never expire",
            "nothing: their day begins now",
            Sql(f"""
            UPDATE idempotency SET created_on = {{now}}
            WHERE (owner, key) IN (SELECT owner, key FROM idempotency
                WHERE created_on > {{now}} + {HOUR_MS} AND owner || ' ' || key = :key)
            RETURNING key"""),
        ),
        Sql(f"""
        SELECT owner || ' ' || key FROM idempotency WHERE created_on > {{now}} + {HOUR_MS}
        LIMIT {MOST}"""),
    ),
    (
        Rule(
            "key_torn",
            "idempotency keys that do not name whole orders: their repeats cannot be answered",
            "delete these keys, or wait for their day to be over",
        ),
        Sql(f"""
        SELECT owner || ' ' || key FROM (
            SELECT owner, key, orders FROM idempotency ORDER BY created_on DESC LIMIT {NEWEST})
            AS newest
        WHERE (length(orders) & 15) <> 0 OR length(orders) = 0 LIMIT {MOST}"""),
    ),
    (
        Rule("event_torn", "events that do not name as many orders as they count", REPORT),
        Sql(f"""
        SELECT CAST(id AS TEXT) FROM (
            SELECT id, n, orders FROM event ORDER BY id DESC LIMIT {NEWEST}) AS newest
        WHERE coalesce(length(orders), 0) <> 16 * n LIMIT {MOST}"""),
    ),
)

ATTEMPTS = Sql("""
    SELECT a.order_id, a.lease, o.lease FROM (
        SELECT order_id, lease FROM attempt WHERE order_id > :after
        ORDER BY order_id, lease LIMIT :most) AS a
    LEFT JOIN job_order AS o ON o.id = a.order_id""")

ATTEMPT_WITHOUT_ORDER = Rule(
    "attempt_without_order",
    "past attempts of orders that do not exist",
    "the audit of a manager removes them",
    Sql("""
    DELETE FROM attempt WHERE order_id = :key
        AND NOT EXISTS (SELECT 1 FROM job_order AS o WHERE o.id = attempt.order_id)
    RETURNING lease"""),
)
ATTEMPT_AHEAD = Rule(
    "attempt_ahead", "past attempts under a later lease than their order ever had", REPORT
)


def broken(database: Database, find: Sql) -> list[str]:
    """The names of what breaks a rule. Raises `DatabaseAway`."""
    return [str(name) for (name,) in database.read(find)]


def attempts_along(
    database: Database, after: str | None
) -> tuple[dict[str, list[str]], str | None]:
    """By rule, the orders whose past attempts break it, in the stretch behind this order; where
    the next one begins, None at the end. Raises `DatabaseAway`."""
    given = {"after": database.key(after or _FIRST_ID), "most": STRETCH}
    found: dict[str, list[str]] = {ATTEMPT_WITHOUT_ORDER.name: [], ATTEMPT_AHEAD.name: []}
    rows = database.read(ATTEMPTS, given)
    for order_id, lease, latest in rows:
        if latest is None:
            found[ATTEMPT_WITHOUT_ORDER.name].append(text_id(order_id))
        elif lease > latest:
            found[ATTEMPT_AHEAD.name].append(text_id(order_id))
    unique = {rule: list(dict.fromkeys(ids)) for rule, ids in found.items()}
    return unique, text_id(rows[-1][0]) if len(rows) == STRETCH else None


def mend(transaction: Transaction, rule: Rule, keys: list[Any]) -> int:
    """Repair what was found, where it still is so; how many that were."""
    if rule.repair is None:
        return 0
    return sum(bool(transaction.rows(rule.repair, {"key": key})) for key in keys)

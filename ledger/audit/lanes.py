"""In which queues and priorities orders wait, and whether managers know them."""

from __future__ import annotations

from database import Database, Sql
from ledger.audit.finding import Rule

MOST = 1_000

# From one lane the index leads to the next, without a walk over the orders in it. SQLite would walk
# a whole queue to compare two columns at once.
_WAITING = "FROM job_order WHERE status = 'pending'"
_FIRST = f"SELECT queue, priority {_WAITING} ORDER BY queue, priority LIMIT 1"
_MORE = f"{_WAITING} AND queue = lane.queue AND priority > lane.priority ORDER BY priority LIMIT 1"
_OTHER = f"{_WAITING} AND queue > lane.queue ORDER BY queue, priority LIMIT 1"
_AFTER = f"""{_WAITING} AND (queue, priority) > (lane.queue, lane.priority)
            ORDER BY queue, priority LIMIT 1"""
_SELECT = f"SELECT queue, priority FROM lane WHERE queue IS NOT NULL LIMIT {MOST}"
LANES = Sql(
    sqlite=f"""
    WITH RECURSIVE lane (queue, priority) AS (
        SELECT * FROM ({_FIRST}) UNION ALL
        SELECT CASE WHEN EXISTS (SELECT 1 {_MORE}) THEN queue ELSE (SELECT queue {_OTHER}) END,
            coalesce((SELECT priority {_MORE}), (SELECT priority {_OTHER}))
        FROM lane WHERE queue IS NOT NULL LIMIT {MOST})
    {_SELECT}""",
    postgres=f"""
    WITH RECURSIVE lane (queue, priority) AS (
        ({_FIRST}) UNION ALL
        SELECT n.queue, n.priority FROM lane, LATERAL (
            SELECT queue, priority {_AFTER}) AS n)
    {_SELECT}""",
)
QUEUES = Sql("SELECT name FROM queue")

QUEUE_UNKNOWN = Rule(
    "queue_unknown",
    "orders wait in queues that no manager knows",
    "nothing: the queues were made known",
    Sql("""
    INSERT INTO queue (name, created_on) VALUES (:key, {now})
    ON CONFLICT (name) DO NOTHING RETURNING name"""),
)


def lanes(database: Database) -> list[tuple[str, int]]:
    """The queues and priorities in which orders wait, 1,000 at most. Raises `DatabaseAway`."""
    return [(queue, priority) for queue, priority in database.read(LANES)]


def unknown(database: Database, among: list[tuple[str, int]]) -> list[str]:
    """Those of these lanes' queues that have no row. Raises `DatabaseAway`."""
    known = {name for (name,) in database.read(QUEUES)}
    return sorted({queue for queue, _ in among} - known)

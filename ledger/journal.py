"""The lines that jobs print and log: kept in pages, order by order, the oldest dropped.

A page names the lease under which it was said, and lines are numbered by lease first: what a holder
says that has lost its lease is kept, and stands in front of what its successors say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from database import Database, Sql, Transaction
from ledger.ids import text_id
from ledger.orders import UnknownOrder
from models import CANCELLED

MOST_BYTES = 256 * 1024
"""What is kept of an order, with about 30 bytes a line for its time and stream."""

MOST_LINES = 10**10
"""So many lines a lease can have: the number of a line is this times its lease, and its place."""

# Stands where lines were lost; its level is how many.
DROPPED = "dropped"

# A cancelled order has ended before its job has: so long that may still have something to say.
LAST_WORDS_MS = 10_000

# The lock keeps an order from being deleted meanwhile, and only that. One that is locked itself is
# passed over.
_HELD = "SELECT id FROM job_order WHERE id {among}"
EXISTING = Sql(_HELD)
HELD = Sql(sqlite=_HELD, postgres=_HELD + " ORDER BY id FOR KEY SHARE SKIP LOCKED")

INSERT = Sql("""
    INSERT INTO job_log (order_id, seq, first, lease, attempt, lines, dropped, size, content)
    VALUES (:id, :seq, :first, :lease, :attempt, :lines, :dropped, :size, :content)
    ON CONFLICT DO NOTHING""")

SIZES = Sql("SELECT order_id, sum(size) FROM job_log WHERE order_id {among} GROUP BY order_id")

# All pages behind the newest that fit.
TRIM = Sql(f"""
    DELETE FROM job_log WHERE order_id = :id AND seq <= (
        SELECT max(seq) FROM (
            SELECT seq, sum(size) OVER (ORDER BY seq DESC) AS total
            FROM job_log WHERE order_id = :id) AS newest
        WHERE total > {MOST_BYTES})
    RETURNING lines, dropped""")
CHARGE = Sql("""
    UPDATE job_log SET dropped = dropped + :dropped
    WHERE order_id = :id AND seq = (SELECT min(seq) FROM job_log WHERE order_id = :id)""")

DELETE = Sql("DELETE FROM job_log WHERE order_id {among}")

STATE = Sql("SELECT status, {now} - completed_on FROM job_order WHERE id = :id")
READ = Sql("""
    SELECT first, lease, attempt, dropped, content FROM job_log
    WHERE order_id = :id AND seq > :after ORDER BY seq""")
LOST = Sql("SELECT coalesce(sum(dropped), 0) FROM job_log WHERE order_id = :id")


class LogPage(NamedTuple):
    """Lines that one run of an order said, from number `first` of its lease to `last`.

    `content` is their JSON, `lines` how many they are without the marks for lines that were lost,
    `dropped` how many were. `size` is in bytes.
    """

    id: str
    lease: int
    attempt: int
    first: int
    last: int
    lines: int
    dropped: int
    size: int
    content: str


class LogLine(NamedTuple):
    """A line as it is read: `seq` only grows in an order."""

    seq: int
    at: int
    attempt: int
    lease: int
    stream: str
    level: int | None
    text: str


class Journal(NamedTuple):
    """Lines of an order, oldest first; how many were dropped of all that it ever said.

    `is_over`: its run has ended and has said all.
    """

    lines: list[LogLine]
    dropped: int
    is_over: bool


def log_page(
    order_id: str,
    lease: int,
    attempt: int,
    first: int,
    lines: Sequence[tuple[int, str, int | None, str]],
) -> LogPage:
    """A page of these lines: (ms since 1970, stream, level, text) each. The stream of a mark for
    lines that were lost is `dropped`, and its level is how many."""
    content = json.dumps(lines, ensure_ascii=False, separators=(",", ":"))
    marks = [level or 0 for _, stream, level, _ in lines if stream == DROPPED]
    return LogPage(
        order_id,
        lease,
        attempt,
        first,
        first + len(lines) - 1,
        len(lines) - len(marks),
        sum(marks),
        len(content.encode()),
        content,
    )


def keep_lines(
    database: Database, pages: Sequence[LogPage], trim: Collection[str]
) -> tuple[list[LogPage], dict[str, int]]:
    """Write these pages; those that must be written later, and how much is kept of each order that
    is in `trim`, in bytes, when what is too much of it has been dropped.

    What is written once is not written again. A page of an order that is gone is dropped. One of
    an order that somebody has locked comes back. Raises `DatabaseAway`.
    """
    ids = sorted({page.id for page in pages})

    def work(transaction: Transaction) -> tuple[list[LogPage], dict[str, int]]:
        held = _among(transaction, HELD, ids)
        missing = [one for one in ids if one not in held]
        locked = _among(transaction, EXISTING, missing) if missing else set()
        transaction.many(INSERT, (_row(transaction, page) for page in pages if page.id in held))
        sizes = {one: _trimmed(transaction, one) for one in sorted(held.intersection(trim))}
        return [page for page in pages if page.id in locked], sizes

    return database.write(work)


def read_lines(database: Database, order_id: str, after: int = 0) -> Journal:
    """What is kept of an order behind the line of this number.

    Raises `UnknownOrder`, `DatabaseAway`.
    """
    key = {"id": database.key(order_id)}
    with database.session():
        # First: what has ended has all its lines written.
        state = database.read(STATE, key)
        pages = database.read(READ, key | {"after": after})
        lost = database.read(LOST, key)
    if not state:
        raise UnknownOrder(order_id)
    status, ended_ms = state[0]
    is_over = ended_ms is not None and (status != CANCELLED or ended_ms > LAST_WORDS_MS)
    lines = [line for page in pages for line in _unfolded(*page) if line.seq > after]
    return Journal(lines, int(lost[0][0]), is_over)


def delete_lines(transaction: Transaction, ids: Any) -> None:
    """Forget what these orders (`transaction.ids`) have said."""
    transaction.run(DELETE, {"ids": ids})


def _among(transaction: Transaction, statement: Sql, ids: Iterable[str]) -> set[str]:
    rows = transaction.rows(statement, {"ids": transaction.ids(ids)})
    return {text_id(order_id) for (order_id,) in rows}


def _row(transaction: Transaction, page: LogPage) -> dict[str, Any]:
    begin = page.lease * MOST_LINES
    place = {"seq": begin + page.last, "first": begin + page.first}
    return page._asdict() | place | {"id": transaction.key(page.id)}


def _trimmed(transaction: Transaction, order_id: str) -> int:
    key = transaction.key(order_id)
    gone = transaction.rows(TRIM, {"id": key})
    if gone:
        dropped = sum(lines + before for lines, before in gone)
        transaction.run(CHARGE, {"id": key, "dropped": dropped})
    sizes = transaction.rows(SIZES, {"ids": transaction.ids([order_id])})
    return int(sizes[0][1]) if sizes else 0


def _unfolded(
    first: int, lease: int, attempt: int, dropped: int, content: str
) -> Iterator[LogLine]:
    """The lines of a page; before them a mark for the pages that were dropped."""
    lines = json.loads(content)
    marked = sum(level for _, stream, level, _ in lines if stream == DROPPED)
    if dropped > marked:
        yield LogLine(first - 1, lines[0][0], attempt, lease, DROPPED, dropped - marked, "")
    for place, (at, stream, level, text) in enumerate(lines):
        yield LogLine(first + place, at, attempt, lease, stream, level, text)

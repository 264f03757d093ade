"""What must be true of an order's row: of all that run, of what is next in line, and of a stretch
of the table that moves on from audit to audit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from database import Database, Row, Sql
from ledger.audit.finding import AGE_MS, MENDED, REPORT, SLACK_MS, Rule
from ledger.ids import text_id
from ledger.workers import manager_of
from models import (
    COMPLETED,
    ENDED,
    FAILED,
    PENDING,
    PRIORITIES,
    RETRIEVED,
    STATUSES,
    WIP,
)

MOST_RUNNING = 5_000
LANES, HEADS = 20, 20
STRETCH = 1_000

# The deadline is the holder's to keep; this is long enough for it to end whatever it runs.
DEADLINE_SLACK_MS = 300_000
# A rescue of what is stale comes within a sixth of the stale time.
RESCUE_SLACK_MS = 10_000

_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class OrderState(NamedTuple):
    """An order's row without its content, its holder's row if there is one, and the time (ms)."""

    id: str
    status: str
    queue: str
    priority: int
    lease: int
    attempts: int
    crashes: int
    manager: str | None
    worker: str | None
    run_at: int
    started_on: int | None
    last_updated: int
    completed_on: int | None
    retrieved_on: int | None
    timeout_ms: int
    has_result: int
    has_error: int
    stale_ms: int
    holder_lives: int
    now: int


_OWN = """id, status, queue, priority, lease, attempts, crashes, manager, worker, run_at,
        started_on, last_updated, completed_on, retrieved_on, timeout_ms"""
_SHOWN = f"""{", ".join(f"o.{name.strip()}" for name in _OWN.split(","))},
        CASE WHEN o.result IS NULL THEN 0 ELSE 1 END, CASE WHEN o.error IS NULL THEN 0 ELSE 1 END,
        coalesce(m.stale_ms, :stale),
        CASE WHEN m.ended_on IS NULL AND m.last_beat > {{now}} - m.stale_ms THEN 1 ELSE 0 END,
        {{now}}"""
_HOLDER = "LEFT JOIN manager AS m ON m.id = o.manager"


def _reading(source: str) -> Sql:
    return Sql(f"SELECT {_SHOWN} FROM ({source}) AS o {_HOLDER}")


_WHOLE = f"{_OWN}, result, error"
RUNNING = _reading(f"SELECT {_WHOLE} FROM job_order WHERE status = 'wip' LIMIT {MOST_RUNNING}")
ALONG = _reading(f"SELECT {_WHOLE} FROM job_order WHERE id > :after ORDER BY id LIMIT :most")
_LANE = "FROM job_order WHERE status = 'pending' AND queue = :queue AND priority = :priority"
HEAD = _reading(f"SELECT {_WHOLE} {_LANE} ORDER BY run_at, id LIMIT {HEADS}")
TAIL = _reading(f"SELECT {_WHOLE} {_LANE} ORDER BY run_at DESC, id DESC LIMIT 1")


def _mend(change: str, guard: str) -> Sql:
    return Sql(f"UPDATE job_order SET {change} WHERE id = :key AND {guard} RETURNING id")


Check = Callable[[OrderState], bool]

HOLDER_GONE = Rule(
    "holder_gone",
    "orders run under a holder that gave no sign of life for twice its stale time",
    "the rescue takes them back; see why no manager did before",
)


def _is_ended(order: OrderState) -> bool:
    return order.status in ENDED


def _runs(order: OrderState) -> bool:
    return order.status == WIP


def _holder_gone(order: OrderState) -> bool:
    silent = order.now - order.last_updated
    return _runs(order) and silent > 2 * order.stale_ms + RESCUE_SLACK_MS


def _miscounted(order: OrderState) -> bool:
    counts = (order.attempts, order.crashes)
    return not all(0 <= count <= order.lease for count in counts) or (
        _runs(order) and order.attempts < 1
    )


def _deadline_missed(order: OrderState) -> bool:
    if not _runs(order) or order.started_on is None or not order.holder_lives:
        return False
    return order.now - order.started_on > order.timeout_ms + DEADLINE_SLACK_MS


def _worker_of_another(order: OrderState) -> bool:
    if not _runs(order) or order.worker is None or order.manager is None:
        return False
    return manager_of(order.worker) != order.manager


RULES: tuple[tuple[Rule, Check], ...] = (
    (HOLDER_GONE, _holder_gone),
    (
        Rule(
            "sign_of_life_ahead",
            "orders run whose last sign of life lies in the future: no rescue would come in time",
            "is the clock of this host right? it was repaired",
            _mend(
                "last_updated = {now}", f"status = 'wip' AND last_updated > {{now}} + {SLACK_MS}"
            ),
        ),
        lambda o: _runs(o) and o.last_updated > o.now + SLACK_MS,
    ),
    (
        Rule(
            "never_claimed",
            "orders run or ended by running that nobody ever claimed",
            REPORT,
        ),
        lambda o: o.status in (WIP, COMPLETED, RETRIEVED, FAILED) and o.lease < 1,
    ),
    (
        Rule("miscounted", "orders with more attempts or crashes than claims", REPORT),
        _miscounted,
    ),
    (
        Rule(
            "worker_of_another",
            "orders run by the worker of another manager than the one that holds them",
            MENDED,
            _mend("worker = NULL", "status = 'wip' AND worker NOT LIKE manager || '/%'"),
        ),
        _worker_of_another,
    ),
    (
        Rule(
            "deadline_missed",
            "orders run past their deadline, and their manager has not ended them",
            "restart that manager; their row names it",
        ),
        _deadline_missed,
    ),
    (
        Rule(
            "unknown_status",
            "orders in a status that does not exist: they neither run nor end",
            "was the database changed by hand? delete them, or set a status that exists",
        ),
        lambda o: o.status not in STATUSES,
    ),
    (
        Rule(
            "ended_and_claimable",
            "orders that wait or run have ended already",
            "see their history; cancel them if they need not run again",
        ),
        lambda o: o.status in (PENDING, WIP) and o.completed_on is not None,
    ),
    (
        Rule(
            "end_without_time",
            "orders have ended without a time of it: they would never be deleted",
            MENDED,
            _mend(
                "completed_on = last_updated",
                "status IN ('completed', 'retrieved', 'failed', 'cancelled') "
                "AND completed_on IS NULL",
            ),
        ),
        lambda o: _is_ended(o) and o.completed_on is None,
    ),
    (
        Rule(
            "retrieval_without_time",
            "orders were retrieved without a time of it",
            MENDED,
            _mend(
                "retrieved_on = coalesce(completed_on, last_updated)",
                "status = 'retrieved' AND retrieved_on IS NULL",
            ),
        ),
        lambda o: o.status == RETRIEVED and o.retrieved_on is None,
    ),
    (
        Rule("result_missing", "orders have completed without a result", REPORT),
        lambda o: o.status in (COMPLETED, RETRIEVED) and not o.has_result,
    ),
    (
        Rule("error_missing", "orders have failed without an error", REPORT),
        lambda o: o.status == FAILED and not o.has_error,
    ),
    (
        Rule(
            "held_while_pending",
            "orders wait that still name a holder",
            MENDED,
            _mend(
                "manager = NULL, worker = NULL, started_on = NULL",
                "status = 'pending' "
                "AND (manager IS NOT NULL OR worker IS NOT NULL OR started_on IS NOT NULL)",
            ),
        ),
        lambda o: (
            o.status == PENDING
            and not (o.manager is None and o.worker is None and o.started_on is None)
        ),
    ),
    (
        Rule(
            "due_never",
            "orders wait for a time more than ten years ahead",
            "cancel them if that was not meant",
        ),
        lambda o: o.status == PENDING and o.run_at > o.now + AGE_MS,
    ),
    (
        Rule(
            "priority_unknown",
            "orders wait with a priority that does not exist, which no manager serves",
            "nothing: they got the nearest that exists",
            _mend(
                "priority = CASE WHEN priority < 1 THEN 1 ELSE 3 END",
                "status = 'pending' AND priority NOT IN (1, 2, 3)",
            ),
        ),
        lambda o: o.status == PENDING and not is_known(o.priority),
    ),
)


def running(database: Database, stale_ms: int) -> list[OrderState]:
    """All that runs, as far as 5,000 of them. Raises `DatabaseAway`."""
    return _states(database.read(RUNNING, {"stale": stale_ms}))


def along(database: Database, stale_ms: int, after: str | None) -> list[OrderState]:
    """The stretch behind this id. Raises `DatabaseAway`."""
    given = {"after": database.key(after or _FIRST_ID), "most": STRETCH, "stale": stale_ms}
    return _states(database.read(ALONG, given))


def in_line(
    database: Database, stale_ms: int, among: list[tuple[str, int]], *, thorough: bool = False
) -> Iterator[OrderState]:
    """What is first and last in line in some of these lanes, or in all. Raises `DatabaseAway`."""
    unknown = [lane for lane in among if not is_known(lane[1])]
    known = [lane for lane in among if is_known(lane[1])]
    some = known if thorough else random.sample(known, min(LANES, len(known)))
    for queue, priority in [*some, *unknown[:LANES]]:
        given = {"queue": queue, "priority": priority, "stale": stale_ms}
        yield from _states(database.read(HEAD, given))
        yield from _states(database.read(TAIL, given))


def is_known(priority: int) -> bool:
    """Whether managers serve this priority."""
    return priority in PRIORITIES.values()


def _states(rows: list[Row]) -> list[OrderState]:
    return [OrderState(text_id(row[0]), *row[1:]) for row in rows]

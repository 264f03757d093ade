"""What should never be, put straight into the tables: each answers where the audit must find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ledger
from database import Database, Sql
from ledger import schedules
from ledger.workers import WorkerReport, report_workers
from models import CANCELLED, COMPLETED, FAILED, RETRIEVED
from tests.factories import new_order, order_in, submit
from tests.ledger import troubles
from tests.ledger.timetable import created

STALE_MS = troubles.STALE_MS
LONG_MS = 2 * STALE_MS + 60_000
HOUR_MS = 3_600_000
ABSURD_MS = 400 * 365 * 24 * HOUR_MS

UNCHECKED = (
    "ALTER TABLE job_order DROP CONSTRAINT job_order_ended",
    "ALTER TABLE job_order DROP CONSTRAINT job_order_status",
)


class Corruption(NamedTuple):
    """How it is made, by which rule it is found, whether it is repaired, and what else is found."""

    make: Callable[[Database], list[str]]
    rule: str
    repaired: bool
    besides: tuple[str, ...] = ()


def change(database: Database, text: str, **parameters: Any) -> None:
    """Run a statement that no part of the product would."""
    database.write(lambda tx: tx.run(Sql(text), parameters))


def unchecked(database: Database) -> None:
    """Let the table hold what its constraints forbid."""
    if database.dialect == "postgresql":
        for text in UNCHECKED:
            change(database, text)
    else:
        with database.session() as connection:
            connection.execute("PRAGMA ignore_check_constraints = 1")


def spoil(database: Database, order_id: str, what: str) -> list[str]:
    """Change an order's row."""
    change(database, f"UPDATE job_order SET {what} WHERE id = :id", id=database.key(order_id))
    return [order_id]


def running(database: Database, holder: str = "m1", *, known: bool = True) -> str:
    """An order that a living manager, or one without a row, holds."""
    if known:
        troubles.manager(database, holder)
    submit(database)
    return troubles.claimed_by(database, holder)[0]


def of_a_manager_without_a_row(database: Database) -> list[str]:
    return spoil(database, running(database, "ghost", known=False), silent())


def of_nobody(database: Database) -> list[str]:
    return spoil(database, running(database), f"manager = NULL, {silent()}")


def of_a_manager_that_stopped(database: Database) -> list[str]:
    order_id = running(database)
    ledger.retire(database, "m1", "test")
    return spoil(database, order_id, silent())


def silent() -> str:
    return f"last_updated = last_updated - {LONG_MS}"


def alive_in_the_future(database: Database) -> list[str]:
    return spoil(database, running(database), f"last_updated = last_updated + {HOUR_MS}")


def completed_unclaimed(database: Database) -> list[str]:
    return spoil(database, order_in(database, COMPLETED).id, "lease = 0, attempts = 0")


def attempts_without_claims(database: Database) -> list[str]:
    return spoil(database, submit(database), "attempts = 5")


def run_by_anothers_worker(database: Database) -> list[str]:
    return spoil(database, running(database), "worker = 'm2/1'")


def past_its_deadline(database: Database) -> list[str]:
    late = f"started_on = created_on - timeout_ms - {HOUR_MS}"
    return spoil(database, running(database), late)


def in_no_status(database: Database) -> list[str]:
    unchecked(database)
    return spoil(database, submit(database), "status = 'zombie'")


def waiting_though_ended(database: Database) -> list[str]:
    unchecked(database)
    return spoil(database, submit(database), "completed_on = created_on")


def ended_at_no_time(database: Database) -> list[str]:
    unchecked(database)
    return spoil(database, order_in(database, FAILED).id, "completed_on = NULL")


def retrieved_at_no_time(database: Database) -> list[str]:
    return spoil(database, order_in(database, RETRIEVED).id, "retrieved_on = NULL")


def completed_with_nothing(database: Database) -> list[str]:
    return spoil(database, order_in(database, COMPLETED).id, "result = NULL")


def failed_for_no_reason(database: Database) -> list[str]:
    return spoil(database, order_in(database, FAILED).id, "error = NULL")


def held_though_waiting(database: Database) -> list[str]:
    return spoil(database, submit(database), "manager = 'm1'")


def due_in_centuries(database: Database) -> list[str]:
    return spoil(database, submit(database), f"run_at = run_at + {ABSURD_MS}")


def of_no_priority(database: Database) -> list[str]:
    return spoil(database, submit(database), "priority = 7")


def in_a_queue_without_a_row(database: Database) -> list[str]:
    submit(database, queue="lost")
    change(database, "DELETE FROM queue WHERE name = 'lost'")
    return ["lost"]


def manager_without_a_beat(database: Database) -> list[str]:
    troubles.manager(database, "m1")
    troubles.silence(database, "m1", 11 * 60_000)
    return ["m1"]


def manager_from_the_future(database: Database) -> list[str]:
    troubles.manager(database, "m1")
    troubles.silence(database, "m1", -HOUR_MS)
    return ["m1"]


def manager_stopped_at_no_time(database: Database) -> list[str]:
    troubles.manager(database, "m1")
    change(database, "UPDATE manager SET state = 'stopped'")
    return ["m1"]


def worker_of_nobody(database: Database) -> list[str]:
    worker = WorkerReport("ghost/1", "idle", "thread", None, 1.0, 0, 0, None)
    report_workers(database, "ghost", [worker])
    change(database, f"UPDATE worker SET seen_on = seen_on - {HOUR_MS}")
    return ["ghost/1"]


def schedule_that_nobody_fires(database: Database) -> list[str]:
    troubles.manager(database, "m1")
    created(database, "nightly")
    change(database, f"UPDATE schedule SET next_fire = {{now}} - {HOUR_MS}")
    return ["nightly"]


def paused_schedule_with_a_fire(database: Database) -> list[str]:
    created(database, "nightly")
    schedules.set_enabled(database, "nightly", enabled=False)
    change(database, f"UPDATE schedule SET next_fire = {{now}} + {HOUR_MS}")
    return ["nightly"]


def schedule_in_centuries(database: Database) -> list[str]:
    created(database, "nightly")
    change(database, f"UPDATE schedule SET next_fire = next_fire + {ABSURD_MS}")
    return ["nightly"]


def keyed(database: Database) -> list[str]:
    ledger.submit(database, [ledger.Request([new_order()], "anna", "one", b"digest")])
    return ["anna one"]


def key_from_the_future(database: Database) -> list[str]:
    where = keyed(database)
    change(database, f"UPDATE idempotency SET created_on = created_on + {2 * HOUR_MS}")
    return where


def key_without_orders(database: Database) -> list[str]:
    where = keyed(database)
    database.write(lambda tx: tx.run(Sql("UPDATE idempotency SET orders = :b"), {"b": b"half"}))
    return where


def event_of_fewer_orders(database: Database) -> list[str]:
    submit(database)
    change(database, "UPDATE event SET n = 3")
    return [str(one) for (one,) in database.read(Sql("SELECT id FROM event"))]


def attempt_of_nothing(database: Database) -> list[str]:
    order_id = retried(database)
    change(database, "DELETE FROM job_order")
    return [order_id]


def attempt_that_never_was(database: Database) -> list[str]:
    order_id = retried(database)
    change(database, "UPDATE attempt SET lease = 9")
    return [order_id]


def retried(database: Database) -> str:
    order_id = order_in(database, FAILED).id
    ledger.retry(database, order_id)
    return order_id


def tally_gone(database: Database) -> list[str]:
    submit(database)
    change(database, "DELETE FROM tally")
    return ["pending: 1 too few"]


def order_gone(database: Database) -> list[str]:
    order_in(database, CANCELLED)
    change(database, "DELETE FROM job_order")
    return ["cancelled: 1 too many"]


def tally_of_no_move(database: Database) -> list[str]:
    change(
        database,
        "INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms) "
        "VALUES (1, 'default', 'add', 'retrieved', 'retrieved', 1, 0, 0)",
    )
    return ["retrieved to retrieved"]


CORRUPTIONS = (
    Corruption(of_a_manager_without_a_row, "holder_gone", True),
    Corruption(of_nobody, "holder_gone", True),
    Corruption(of_a_manager_that_stopped, "holder_gone", True),
    Corruption(alive_in_the_future, "sign_of_life_ahead", True),
    Corruption(completed_unclaimed, "never_claimed", False),
    Corruption(attempts_without_claims, "miscounted", False),
    Corruption(run_by_anothers_worker, "worker_of_another", True),
    Corruption(past_its_deadline, "deadline_missed", False),
    Corruption(in_no_status, "unknown_status", False, ("levels_drift",)),
    Corruption(waiting_though_ended, "ended_and_claimable", False),
    Corruption(ended_at_no_time, "end_without_time", True),
    Corruption(retrieved_at_no_time, "retrieval_without_time", True),
    Corruption(completed_with_nothing, "result_missing", False),
    Corruption(failed_for_no_reason, "error_missing", False),
    Corruption(held_though_waiting, "held_while_pending", True),
    Corruption(due_in_centuries, "due_never", False),
    Corruption(of_no_priority, "priority_unknown", True),
    Corruption(in_a_queue_without_a_row, "queue_unknown", True),
    Corruption(manager_without_a_beat, "manager_silent", True),
    Corruption(manager_from_the_future, "beat_ahead", True),
    Corruption(manager_stopped_at_no_time, "manager_half_ended", True),
    Corruption(worker_of_nobody, "worker_without_manager", True),
    Corruption(schedule_that_nobody_fires, "schedule_overdue", False),
    Corruption(paused_schedule_with_a_fire, "schedule_paused_but_due", True),
    Corruption(schedule_in_centuries, "schedule_never", False),
    Corruption(key_from_the_future, "key_ahead", True),
    Corruption(key_without_orders, "key_torn", False),
    Corruption(event_of_fewer_orders, "event_torn", False),
    Corruption(attempt_of_nothing, "attempt_without_order", True, ("levels_drift",)),
    Corruption(attempt_that_never_was, "attempt_ahead", False),
    Corruption(tally_gone, "levels_drift", False),
    Corruption(order_gone, "levels_drift", False),
    Corruption(tally_of_no_move, "unknown_move", False),
)

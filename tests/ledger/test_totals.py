"""What the tallies add up to: the same whether it is read at once or in parts."""

from __future__ import annotations

import ledger
from database import Database, Sql
from ledger import totals
from ledger.totals import Totals
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, STATUSES, WIP
from tests import factories

EARLIER = Sql("UPDATE tally SET minute = minute - :minutes")


def added(database: Database, one: Totals) -> dict[str, int]:
    """The levels over all queues, after they were compared with those by queue in the table."""
    counted = database.read(
        Sql("SELECT queue, status, count(*) FROM job_order GROUP BY queue, status")
    )
    by_queue = one.moves().by_queue
    told = {(q, s): n for q, level in by_queue.items() for s, n in level.items() if n}
    assert told == {(queue, status): n for queue, status, n in counted}
    return {status: sum(level[status] for level in by_queue.values()) for status in STATUSES}


def test_levels_are_those_of_the_table_in_every_queue(database: Database) -> None:
    watched = Totals(database)
    assert watched.moves() == ({}, 0, 0)
    for status in (COMPLETED, RETRIEVED, FAILED, CANCELLED, WIP, PENDING):
        factories.order_in(database, status, queue=f"q{status}")
        added(database, watched)
        added(database, Totals(database))
    database.write(lambda transaction: transaction.run(EARLIER, {"minutes": 200}))
    ledger.fold(database)
    assert added(database, Totals(database))[PENDING] == 1
    assert Totals(database).moves()[1:] == (3, 15)


def test_what_is_over_is_added_up_once_a_minute(database: Database) -> None:
    now = 0.0
    watched = Totals(database, lambda: now)
    factories.order_in(database, COMPLETED)
    database.write(lambda transaction: transaction.run(EARLIER, {"minutes": 30}))
    assert added(database, watched)[COMPLETED] == 1
    # What is committed long after its minute is found late, what is of now at once.
    late = Totals(database, lambda: now)
    late.moves()
    factories.order_in(database, COMPLETED)
    assert added(database, watched)[COMPLETED] == 2
    database.write(lambda transaction: transaction.run(EARLIER, {"minutes": 30}))
    assert late.moves().by_queue["default"][COMPLETED] == 1
    now = totals.ANEW_SECONDS
    assert added(database, late)[COMPLETED] == 2

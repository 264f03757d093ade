"""A chore is done by one manager at a time, and by another when that one is gone."""

from __future__ import annotations

from functools import partial

from database import Database, Sql
from ledger import chores
from tests.ledger.evidence import at_once

HOUR_MS = 3_600_000
DUE = Sql("UPDATE chore SET due_on = {now} + :ms")


def due_in(database: Database, ms: int) -> None:
    database.write(lambda tx: tx.run(DUE, {"ms": ms}))


def test_the_first_who_comes_has_it(database: Database) -> None:
    assert chores.take(database, "sweep", "m1", HOUR_MS) == {}
    assert chores.take(database, "sweep", "m2", HOUR_MS) is None
    assert chores.take(database, "other", "m2", HOUR_MS) == {}


def test_one_of_many_at_once_has_it(database: Database) -> None:
    def take(name: str) -> bool:
        taken = chores.take(database, "sweep", name, HOUR_MS)
        database.close()
        return taken is not None

    assert sum(at_once([partial(take, f"m{number}") for number in range(8)])) == 1


def test_the_next_finds_what_was_left(database: Database) -> None:
    chores.take(database, "sweep", "m1", HOUR_MS)
    assert chores.keep(database, "sweep", "m1", 0, {"place": 7})
    due_in(database, -1)
    assert chores.take(database, "sweep", "m2", HOUR_MS) == {"place": 7}
    assert chores.left(database, "sweep") == {"place": 7}


def test_who_lost_it_leaves_nothing(database: Database) -> None:
    chores.take(database, "sweep", "m1", HOUR_MS)
    due_in(database, -1)
    assert chores.take(database, "sweep", "m2", HOUR_MS) == {}
    assert not chores.keep(database, "sweep", "m1", 0, {"place": 7})
    assert chores.left(database, "sweep") == {}


def test_a_time_under_a_clock_that_was_put_back_holds_nobody_up(database: Database) -> None:
    chores.take(database, "sweep", "m1", HOUR_MS)
    due_in(database, chores.LONGEST_MS + HOUR_MS)
    assert chores.take(database, "sweep", "m2", HOUR_MS) == {}


def test_of_what_nobody_did_nothing_is_left(database: Database) -> None:
    assert chores.left(database, "sweep") == {}

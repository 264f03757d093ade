"""Many hands on the same few hundred orders, and what the database itself makes of it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

import ledger
from database import Database, Sql, Transaction
from ledger import Ending, Request
from models import COMPLETED, ENDED, FAILED, PENDING, WIP
from tests.factories import MANAGER, claim, ending, new_order, submit
from tests.ledger import evidence
from tests.ledger.crowd import THREADS, Crowd, Watched
from tests.ledger.model import LATE
from tests.support import wait_until

POSTGRES_ONLY = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

SECONDS = {"sqlite": 5, "postgresql": 60}
STRICTER = urlencode({"options": r"-c default_transaction_isolation=repeatable\ read"})

ATTEMPTS = Sql("SELECT order_id, lease, outcome FROM attempt")
COUNTS = Sql("SELECT id, attempts FROM job_order ORDER BY id")
COUNT_UP = Sql("UPDATE job_order SET attempts = attempts + 1 WHERE id = :id RETURNING id")
COUNT_UP_BY = Sql("UPDATE job_order SET attempts = attempts + :n WHERE id = :id RETURNING id")
# Who looks for a deadlock first is the one that ends.
PATIENT = Sql("SET LOCAL deadlock_timeout = '60s'")
SERIALIZABLE = Sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
WAITING = Sql("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'""")
OTHERS = Sql("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()""")
DEADLOCKS = Sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def deadlocks(database: Database) -> int:
    """How many the server has counted in this database: a session tells of its own when it ends."""
    if database.dialect == "sqlite":
        return 0
    database.close()
    wait_until(lambda: database.read(OTHERS) == [(0,)], "every other session has ended")
    return int(database.read(DEADLOCKS)[0][0])


def run(watched: Watched, seconds: float) -> Crowd:
    """Let a crowd loose for so long, and then every order end."""
    crowd = Crowd(watched)
    works = crowd.works()
    timer = threading.Timer(seconds, crowd.stop.set)
    timer.start()
    try:
        evidence.at_once(works)
    finally:
        timer.cancel()
        timer.join()

    def ended() -> bool:
        crowd.drain()
        return set(evidence.counted(watched)) <= set(ENDED)

    wait_until(ended, "every order ends")
    watched.close()
    return crowd


def tell(capsys: pytest.CaptureFixture[str], watched: Watched, found: int, crowd: Crowd) -> None:
    figures = ", ".join(f"{name} {n}" for name, n in sorted(crowd.did.items()))
    with capsys.disabled():
        print(f"\n{watched.dialect}: {figures}")
        print(f"deadlocks {found}, serialization failures {watched.repeats - found}")


def test_a_minute_of_everything_at_once(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(database.url, connections=THREADS)
    crowd = run(watched, SECONDS[database.dialect])
    found = deadlocks(database)
    tell(capsys, watched, found, crowd)
    assert (found, watched.repeats) == (0, 0), "each statement locks its orders by id"
    agrees(database, crowd)


@POSTGRES_ONLY
def test_nobody_hears_of_transactions_that_could_not_be_serialized(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a server whose default is stricter than ours, hundreds of them must be repeated."""
    watched = Watched(f"{database.url}?{STRICTER}", connections=THREADS)
    crowd = run(watched, SECONDS["sqlite"])
    found = deadlocks(database)
    tell(capsys, watched, found, crowd)
    assert watched.repeats > found == 0
    agrees(database, crowd)


def agrees(database: Database, crowd: Crowd) -> None:
    """What everybody was told is what is recorded."""
    assert max(Counter(crowd.claims).values()) == 1, "a lease was given out twice"
    ended = Counter(lease for lease, _, _ in crowd.outcomes)
    assert max(ended.values()) == 1, "a lease stands for two outcomes"
    assert set(ended) == set(crowd.claims), "a lease has no outcome"
    assert {to for _, to, _ in crowd.outcomes} == {PENDING, COMPLETED, FAILED, "cancelled"}

    assert evidence.levels(database) == evidence.counted(database)
    moves = evidence.moves(database)
    assert moves[PENDING, WIP] == len(crowd.claims)
    out = Counter({after: n for (before, after), n in moves.items() if before == WIP})
    assert out == Counter(to for _, to, _ in crowd.outcomes)

    events = evidence.events(database)
    came = Counter[str]()
    for event in events:
        came[event.kind] += len(event.ids)
    assert came["claimed"] == len(crowd.claims)
    assert came[LATE] == crowd.did["late"] > 0
    for kind in ("cancelled", "retried", "deleted"):
        assert came[kind] == crowd.did[kind] > 0, kind
    assert came["rescued"] + came["crashed"] == crowd.did["rescued"] > 0

    outcomes = {lease: outcome for lease, _, outcome in crowd.outcomes}
    history = [
        ((raw if isinstance(raw, str) else next(ledger.unpack(raw)), lease), outcome)
        for raw, lease, outcome in database.read(ATTEMPTS)
    ]
    assert history
    assert [one for one in history if outcomes[one[0]] != one[1]] == []


def count_up(transaction: Transaction, order_id: str) -> None:
    transaction.run(COUNT_UP, {"id": order_id})


def count_up_and_look(transaction: Transaction, order_id: str) -> None:
    transaction.rows(COUNT_UP, {"id": order_id})


@POSTGRES_ONLY
@pytest.mark.parametrize("touch", [count_up, count_up_and_look], ids=["on commit", "at once"])
def test_a_deadlock_ends_with_both_done(
    database: Database, touch: Callable[[Transaction, str], None]
) -> None:
    """Whether the database answers each statement, or says all at the end of the transaction."""
    first, second = (submit(database) for _ in range(2))
    both_hold_one = threading.Barrier(2)
    watched = Watched(database.url)

    def work(ids: list[str]) -> None:
        begun = threading.Event()

        def body(transaction: Transaction) -> None:
            count_up_and_look(transaction, ids[0])
            if not begun.is_set():
                begun.set()
                both_hold_one.wait(20)
            touch(transaction, ids[1])

        watched.write(body)

    evidence.at_once([lambda: work([first, second]), lambda: work([second, first])])
    watched.close()
    assert watched.repeats == 1 == deadlocks(database)
    assert [row[1] for row in database.read(COUNTS)] == [2, 2]


@POSTGRES_ONLY
def test_a_finish_that_was_chosen_to_end_a_deadlock_counts_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By itself it waits less long than the server takes to look for deadlocks.
    monkeypatch.setattr(
        sys.modules["ledger.finish"], "PATIENCE", Sql("SET LOCAL lock_timeout = '60s'")
    )
    ledger.submit(database, [Request([new_order() for _ in range(2)])])
    first, second = sorted(claim(database, free=2))
    watched = Watched(database.url)

    def stranger(transaction: Transaction) -> None:
        transaction.run(PATIENT)
        count_up_and_look(transaction, second.id)
        it_holds_one.set()
        wait_until(lambda: watched.read(WAITING) == [(1,)], "the finish waits")
        count_up_and_look(transaction, first.id)

    it_holds_one = threading.Event()

    def finish() -> list[Ending]:
        assert it_holds_one.wait(20)
        return ledger.finish(watched, MANAGER, [ending(second), ending(first)])

    late, _ = evidence.at_once([finish, lambda: database.write(stranger)])
    watched.close()
    assert late == []
    assert watched.repeats == 1 == deadlocks(database)
    assert evidence.moves(database)[WIP, COMPLETED] == 2
    assert [event.ids for event in evidence.events(database, "completed")] == [
        [first.id, second.id]
    ]
    assert evidence.levels(database) == evidence.counted(database) == {COMPLETED: 2}


@POSTGRES_ONLY
def test_a_commit_that_cannot_be_serialized_is_repeated(database: Database) -> None:
    """Each of two counts up one order by what it read of the other: only one after the other."""
    first, second = sorted(submit(database) for _ in range(2))
    both_have_read = threading.Barrier(2)
    one_is_done = threading.Event()
    watched = Watched(database.url)

    def work(mine: str, last: bool) -> None:
        begun = threading.Event()

        def body(transaction: Transaction) -> None:
            transaction.run(SERIALIZABLE)
            seen = sum(count for _, count in transaction.rows(COUNTS))
            if begun.is_set():
                transaction.run(COUNT_UP_BY, {"id": mine, "n": seen + 1})
                return
            begun.set()
            both_have_read.wait(20)
            transaction.rows(COUNT_UP_BY, {"id": mine, "n": seen + 1})
            if last:
                assert one_is_done.wait(20)

        watched.write(body)
        one_is_done.set()

    evidence.at_once([lambda: work(first, False), lambda: work(second, True)])
    watched.close()
    assert (watched.repeats, deadlocks(database)) == (1, 0)
    assert [count for _, count in database.read(COUNTS)] == [1, 2]

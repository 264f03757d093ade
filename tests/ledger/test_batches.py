"""Cancelling and deleting many orders at once: what moves, what is passed over, what it leaves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

import ledger
from database import Database, Sql, Transaction
from ledger import Beat, LostLease, Request
from ledger.record import Record
from ledger.steer import CANCEL_MANY, DELETE, DELETE_ATTEMPTS, LOCK_ENDED, LOCK_LIVE
from models import CANCELLED, COMPLETED, ENDED, FAILED, NOTHING, PENDING, RETRIEVED, STATUSES, WIP
from tests.factories import MANAGER, claim, ending, new_order, order_in
from tests.ledger import evidence
from tests.ledger.test_plans import STATISTICS, Hot, fill, nodes, postgres_faults, sqlite_faults

SIZES = (1, 100, 500)
HISTORY = Sql("""
    INSERT INTO attempt (order_id, lease, number, outcome, ended_on)
    SELECT id, 1, 1, 'error', {now} FROM job_order WHERE queue = 'ended'""")
IDS = Sql("SELECT id FROM job_order LIMIT :n")
ANALYZE = Sql("ANALYZE")


def one_in_each_state(database: Database) -> dict[str, str]:
    """The id of an order in each state, and of one that was deleted, the last to be made."""
    found = {s: order_in(database, s, queue=f"queue-{s}").id for s in STATUSES if s != PENDING}
    found[PENDING] = order_in(database, PENDING).id
    found[NOTHING] = order_in(database, CANCELLED).id
    ledger.delete(database, found[NOTHING])
    return found


def shuffled(ids: dict[str, str]) -> list[str]:
    """All of them in any order, and each twice."""
    return random.Random(1).sample([*ids.values()] * 2, 2 * len(ids))


def test_cancelling_many_passes_over_what_has_ended(database: Database) -> None:
    ids = one_in_each_state(database)
    ledger.renew(database, MANAGER, [Beat(ids[WIP], 1, "w1", 5000)])
    before = {row[0]: row for row in evidence.orders(database)}
    moves = evidence.moves(database)

    answer = ledger.cancel_many(database, iter(shuffled(ids)))

    assert [order.id for order in answer] == sorted((ids[PENDING], ids[WIP]))
    assert answer == [ledger.find(database, order.id) for order in answer]
    assert {order.status for order in answer} == {CANCELLED}
    (ran,) = (order for order in answer if order.id == ids[WIP])
    assert (ran.lease, ran.manager, ran.worker) == (1, MANAGER, "w1")
    assert ran.run_ms is not None
    assert ran.run_ms >= 5000
    moved = {database.key(order.id) for order in answer}
    assert {row[0] for row in evidence.orders(database) if before[row[0]] != row} == moved
    assert evidence.moves(database) - moves == {(PENDING, CANCELLED): 1, (WIP, CANCELLED): 1}
    assert evidence.levels(database) == evidence.counted(database)
    event = evidence.events(database, "cancelled")[-1]
    assert event.ids == [order.id for order in answer]
    holders = {ids[PENDING]: None, ids[WIP]: MANAGER}
    states = {ids[PENDING]: PENDING, ids[WIP]: WIP}
    assert event.data == {
        "before": [states[order_id] for order_id in event.ids],
        "managers": [holders[order_id] for order_id in event.ids],
    }


def test_who_holds_what_was_cancelled_among_many_is_told(database: Database) -> None:
    ledger.submit(database, [Request([new_order() for _ in range(5)])])
    orders = claim(database, free=5)
    ledger.cancel_many(database, [order.id for order in orders[:3]])
    lost = ledger.renew(database, MANAGER, [Beat(order.id, 1) for order in orders])
    assert lost == [LostLease(order.id, 1, CANCELLED) for order in orders[:3]]
    late = ledger.finish(database, MANAGER, [ending(order) for order in orders])
    assert {end.id for end in late} == {order.id for order in orders[:3]}
    assert evidence.counted(database) == {CANCELLED: 3, COMPLETED: 2}


def test_one_among_many_leaves_what_one_alone_leaves(database: Database) -> None:
    left = []
    for cancel in (ledger.cancel, lambda handle, one: ledger.cancel_many(handle, [one])[0]):
        order = order_in(database, WIP)
        assert cancel(database, order.id) == ledger.find(database, order.id)
        event = evidence.events(database, "cancelled")[-1]
        left.append((event.ids == [order.id], event.manager, event.data))
    assert left == [(True, MANAGER, {"before": WIP})] * 2


def test_deleting_many_passes_over_what_has_not_ended(database: Database) -> None:
    ids = one_in_each_state(database)
    ledger.retry(database, ids[FAILED])
    ledger.cancel(database, ids[FAILED])
    moves = evidence.moves(database)
    assert len(evidence.attempts(database)) == 1

    assert ledger.delete_many(database, iter(shuffled(ids))) == 4

    assert evidence.counted(database) == {PENDING: 1, WIP: 1} == evidence.levels(database)
    assert evidence.attempts(database) == []
    gone = {(COMPLETED, NOTHING): 1, (RETRIEVED, NOTHING): 1, (CANCELLED, NOTHING): 2}
    assert evidence.moves(database) - moves == gone
    event = evidence.events(database, "deleted")[-1]
    assert event.ids == sorted(i for status, i in ids.items() if status in ENDED)


def test_deleting_many_leaves_the_history_of_others(database: Database) -> None:
    orders = [order_in(database, FAILED) for _ in range(3)]
    for order in orders:
        ledger.retry(database, order.id)
    ledger.cancel_many(database, [order.id for order in orders[:2]])
    assert len(evidence.attempts(database)) == 3
    assert ledger.delete_many(database, [order.id for order in orders]) == 2
    assert len(ledger.history(database, orders[2].id)) == len(evidence.attempts(database)) == 1


def test_a_batch_that_moves_nothing_leaves_nothing(database: Database) -> None:
    ended, waits = order_in(database, COMPLETED).id, order_in(database, PENDING).id
    before = evidence.orders(database), evidence.events(database), evidence.tallies(database)
    for ids in ([], [ledger.new_id()]):
        assert (
            ledger.cancel_many(database, [*ids, ended]) == ledger.cancel_many(database, ids) == []
        )
        assert ledger.delete_many(database, [*ids, waits]) == ledger.delete_many(database, ids) == 0
    assert before == (
        evidence.orders(database),
        evidence.events(database),
        evidence.tallies(database),
    )


def test_a_batch_is_one_event_and_one_tally(database: Database) -> None:
    orders = [new_order() for _ in range(1000)]
    ledger.submit(database, [Request(orders)])
    ids = [order.id for order in orders]
    assert len(ledger.cancel_many(database, reversed(ids))) == 1000
    assert ledger.delete_many(database, reversed(ids)) == 1000
    assert [row[2:5] for row in evidence.tallies(database)] == [
        (NOTHING, PENDING, 1000),
        (PENDING, CANCELLED, 1000),
        (CANCELLED, NOTHING, 1000),
    ]
    assert [(e.kind, e.ids == ids) for e in evidence.events(database)] == [
        ("submitted", True),
        ("cancelled", True),
        ("deleted", True),
    ]


def test_a_batch_that_fails_moves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = one_in_each_state(database)
    rows = evidence.orders(database)

    def fail(transaction: Transaction, *given: Any) -> None:
        raise ZeroDivisionError

    for move in (ledger.cancel_many, ledger.delete_many):
        with monkeypatch.context() as patch:
            patch.setattr(Record, "write", fail)
            with pytest.raises(ZeroDivisionError):
                move(database, ids.values())
    assert evidence.orders(database) == rows


def test_batches_at_once_in_any_order_move_each_order_once(database: Database) -> None:
    orders = [new_order() for _ in range(300)]
    ledger.submit(database, [Request(orders)])
    chance = random.Random(1)
    batches = [[order.id for order in chance.sample(orders, 200)] for _ in range(4)]
    answers = evidence.at_once(
        [lambda ids=ids: ledger.cancel_many(database, ids) for ids in batches]  # type: ignore[misc]
    )
    wanted = sorted(set().union(*batches))
    assert sorted(order.id for answer in answers for order in answer) == wanted
    deleted = evidence.at_once(
        [lambda ids=ids: ledger.delete_many(database, ids) for ids in batches]  # type: ignore[misc]
    )
    assert sum(deleted) == len(wanted)
    assert evidence.levels(database) == evidence.counted(database) == {PENDING: 300 - len(wanted)}


@pytest.fixture(params=STATISTICS)
def full(request: pytest.FixtureRequest, database: Database) -> Database:
    """The database filled, with an attempt in the history of each ended order."""
    fill(database, STATISTICS[request.param])
    database.write(lambda transaction: transaction.run(HISTORY))
    if STATISTICS[request.param] == "after":
        database.write(lambda transaction: transaction.run(ANALYZE))
    return database


def batch_statements(database: Database) -> Iterator[tuple[str, Hot]]:
    sqlite = database.dialect == "sqlite"
    by_key = frozenset({"sqlite_autoindex_job_order_1" if sqlite else "job_order_pkey"})
    for size in SIZES:
        rows = [row[0] for row in database.read(IDS, {"n": size})]
        ids = {"ids": database.ids(one if not sqlite else one.hex() for one in rows)}
        yield f"lock live {size}", Hot(LOCK_LIVE, ids, by_key)
        yield f"lock ended {size}", Hot(LOCK_ENDED, ids, by_key)
        yield f"cancel {size}", Hot(CANCEL_MANY, ids, by_key)
        yield f"delete {size}", Hot(DELETE, ids, by_key)
        yield f"delete attempts {size}", Hot(DELETE_ATTEMPTS, ids, frozenset())


def walks_the_history(database: Database, hot: Hot) -> bool:
    """Whether a plan goes through the table of attempts otherwise than by its key."""
    with database.session() as connection:
        if database.dialect == "sqlite":
            lines = connection.execute(f"EXPLAIN QUERY PLAN {hot.statement.sqlite}", hot.parameters)
            return any("SCAN attempt" in line[3] for line in lines)
        explained = connection.execute(
            f"EXPLAIN (FORMAT JSON) {hot.statement.postgres}", hot.parameters
        ).fetchone()[0]
    reads = [node for node in nodes(explained[0]["Plan"]) if "Scan" in node["Node Type"]]
    return not any("Index Cond" in node for node in reads) or any(
        node["Node Type"] == "Seq Scan" for node in reads
    )


def test_no_batch_walks_a_table(full: Database) -> None:
    look = sqlite_faults if full.dialect == "sqlite" else postgres_faults
    complaints = []
    for name, hot in batch_statements(full):
        faults, plan = look(full, hot)
        if hot.statement is DELETE_ATTEMPTS and walks_the_history(full, hot):
            faults.append("walks the history")
        if faults:
            complaints.append(f"{name}: {'; '.join(faults)}\n{plan}")
    assert not complaints, "\n\n".join(complaints)

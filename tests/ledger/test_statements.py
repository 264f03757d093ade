"""How many statements the hot path takes: a fixed number, however many orders are in the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ledger
from database import Database, Transaction
from ledger import Beat, Request
from models import FAILED, PENDING
from tests.factories import MANAGER, claim, ending, new_order

METHODS = ("rows", "run", "many", "many_rows")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], int]:
    """Counts what a piece of work asks of the database, besides the frame of its transaction."""
    asked: list[str] = []

    def count(name: str) -> Callable[..., Any]:
        original = getattr(Transaction, name)

        def counting(self: Transaction, statement: Any, parameters: Any = None) -> Any:
            asked.append(getattr(statement, "sqlite"))  # noqa: B009 (the text, for the message)
            return original(self, statement, parameters)

        return counting

    for name in METHODS:
        monkeypatch.setattr(Transaction, name, count(name))

    def counted(work: Callable[[], Any]) -> int:
        asked.clear()
        work()
        return len(asked)

    return counted


Counter = Callable[[Callable[[], Any]], int]


def submit(database: Database, count: int) -> None:
    ledger.submit(database, [Request([new_order() for _ in range(count)])])


@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_submit_takes_four_statements(database: Database, statements: Counter, size: int) -> None:
    assert statements(lambda: submit(database, size)) == 4


@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_claim_takes_three_statements(database: Database, statements: Counter, size: int) -> None:
    submit(database, size)
    assert statements(lambda: claim(database, free=size)) == 3 + unasked(database)


def test_a_claim_that_finds_nothing_takes_one(database: Database, statements: Counter) -> None:
    assert statements(lambda: claim(database, free=100)) == 1 + unasked(database)


def unasked(database: Database) -> int:
    """PostgreSQL's statement for the lock that a pause waits for, or for a bound on waiting for
    locks; nobody waits for its answer, so it costs no round trip."""
    return int(database.dialect == "postgresql")


@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_finish_takes_three_statements(
    database: Database, statements: Counter, size: int
) -> None:
    submit(database, size)
    endings = [ending(order) for order in claim(database, free=size)]
    assert statements(lambda: ledger.finish(database, MANAGER, endings)) == 3 + unasked(database)


@pytest.mark.parametrize("size", [1, 10, 100])
def test_end_states_cost_an_event_and_a_tally_each_and_history_one(
    database: Database, statements: Counter, size: int
) -> None:
    submit(database, 3 * size)
    claimed = claim(database, free=3 * size)
    endings = [ending(order) for order in claimed[:size]]
    endings += [ending(order, FAILED) for order in claimed[size : 2 * size]]
    endings += [ending(order, PENDING, delay_ms=0) for order in claimed[2 * size :]]
    assert statements(lambda: ledger.finish(database, MANAGER, endings)) == 1 + 3 * 2 + 1 + unasked(
        database
    )


@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_heartbeat_takes_two_statements(
    database: Database, statements: Counter, size: int
) -> None:
    submit(database, size)
    beats = [Beat(order.id, order.lease) for order in claim(database, free=size)]
    assert statements(lambda: ledger.renew(database, MANAGER, beats)) == 2 + unasked(database)


@pytest.mark.parametrize("size", [1, 10, 100])
def test_lost_leases_cost_a_heartbeat_one_more(
    database: Database, statements: Counter, size: int
) -> None:
    submit(database, size)
    beats = [Beat(order.id, order.lease + 1) for order in claim(database, free=size)]
    assert statements(lambda: ledger.renew(database, MANAGER, beats)) == 3 + unasked(database)

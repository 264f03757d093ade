"""Every operation is tried on an order in every state: it moves it as MOVES says, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import apsw
import psycopg
import pytest

import ledger
from database import Database
from ledger import Ending, Lane, LedgerError, OrderRow, Request
from models import (
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    MOVES,
    NOTHING,
    PENDING,
    RETRIEVED,
    STATUSES,
    WIP,
)
from tests.factories import MANAGER, make_stale, new_order, order_in
from tests.ledger import evidence

HOUR = 3_600_000
REFUSALS = (LedgerError, apsw.ConstraintError, psycopg.IntegrityError)


class Operation(NamedTuple):
    """One way to move an order: where to, from which states, and the trace of a refusal."""

    name: str
    to: str
    before: tuple[str, ...]
    act: Callable[[Database, OrderRow], Any]
    leaves: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def submit(database: Database, order: OrderRow) -> None:
    ledger.submit(database, [Request([new_order(id=order.id, queue=order.queue)])])


def claim(database: Database, order: OrderRow) -> None:
    ledger.claim(database, MANAGER, [Lane(order.queue, order.priority)], 1)


def finish(to: str, **fields: Any) -> Callable[[Database, OrderRow], None]:
    def act(database: Database, order: OrderRow) -> None:
        identity = (order.id, order.lease, order.type, order.queue, order.attempts)
        ledger.finish(database, MANAGER, [Ending(*identity, to, "any", **fields)])

    return act


def rescue(max_crashes: int) -> Callable[[Database, OrderRow], None]:
    def act(database: Database, order: OrderRow) -> None:
        ledger.rescue(database, HOUR // 2, max_crashes=max_crashes)

    return act


def by_hand(function: Callable[[Database, str], Any]) -> Callable[[Database, OrderRow], None]:
    return lambda database, order: function(database, order.id)


LATE = ("late_result_discarded",)
OPERATIONS = (
    Operation("submit", PENDING, (NOTHING,), submit),
    Operation("claim", WIP, (PENDING,), claim),
    Operation("complete", COMPLETED, (WIP,), finish(COMPLETED, result="3", run_ms=5), LATE),
    Operation("fail", FAILED, (WIP,), finish(FAILED, error="{}", run_ms=5), LATE),
    Operation("run again", PENDING, (WIP,), finish(PENDING, error="{}", delay_ms=1), LATE),
    Operation("hand back", PENDING, (WIP,), finish(PENDING, uncounted=True), LATE),
    Operation("rescue", PENDING, (WIP,), rescue(max_crashes=3)),
    Operation("give up", FAILED, (WIP,), rescue(max_crashes=1)),
    Operation("cancel", CANCELLED, (PENDING, WIP), by_hand(ledger.cancel)),
    Operation("retry", PENDING, (FAILED, CANCELLED), by_hand(ledger.retry)),
    Operation("retrieve", RETRIEVED, (COMPLETED,), by_hand(ledger.retrieve)),
    Operation("delete", NOTHING, ENDED, by_hand(ledger.delete)),
)


def stand(database: Database, status: str) -> OrderRow:
    """An order in this state, silent for an hour, in a queue of its own."""
    order = order_in(database, status or COMPLETED, queue=f"queue-{status}")
    if status == NOTHING:
        ledger.delete(database, order.id)
        return order
    make_stale(database, order.id)
    return ledger.find(database, order.id)


def now(database: Database, order: OrderRow) -> str:
    try:
        return ledger.find(database, order.id).status
    except ledger.UnknownOrder:
        return NOTHING


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_an_operation_moves_an_order_exactly_from_the_states_it_may(
    database: Database, operation: Operation
) -> None:
    for status in (NOTHING, *STATUSES):
        pair = f"{operation} of an order that is {status or 'nothing'}"
        order = stand(database, status)
        rows, tallies = evidence.orders(database), evidence.tallies(database)
        events, history = evidence.events(database), evidence.attempts(database)

        with suppress(*REFUSALS):
            operation.act(database, order)

        new = evidence.events(database)[len(events) :]
        counted = evidence.tallies(database)[len(tallies) :]
        assert evidence.levels(database) == evidence.counted(database), pair
        if status in operation.before:
            assert now(database, order) == operation.to, pair
            assert operation.to in MOVES[status], pair
            assert [(*row[2:5],) for row in counted] == [(status, operation.to, 1)], pair
            assert [event.ids for event in new] == [[order.id]], pair
        else:
            assert evidence.orders(database) == rows, pair
            assert evidence.attempts(database) == history, pair
            assert counted == [], pair
            assert tuple(event.kind for event in new) == operation.leaves, pair
        _clear(database, order)


def _clear(database: Database, order: OrderRow) -> None:
    """Nothing of one state may be moved by the operation on the next."""
    with suppress(LedgerError):
        ledger.cancel(database, order.id)


def test_the_operations_together_make_every_legal_move_and_no_other() -> None:
    made = {(status, operation.to) for operation in OPERATIONS for status in operation.before}
    assert made == {(before, after) for before, afters in MOVES.items() for after in afters}


def test_a_heartbeat_moves_nothing_and_touches_only_what_is_in_progress(
    database: Database,
) -> None:
    for status in (NOTHING, *STATUSES):
        order = stand(database, status)
        rows, tallies = evidence.orders(database), evidence.tallies(database)
        events = evidence.events(database)
        lost = ledger.renew(database, MANAGER, [ledger.Beat(order.id, order.lease)])
        assert now(database, order) == status
        assert (evidence.tallies(database), evidence.events(database)) == (tallies, events)
        if status == WIP:
            assert lost == []
            assert ledger.find(database, order.id).last_updated > order.last_updated
        else:
            assert lost == [(order.id, order.lease, status)]
            assert evidence.orders(database) == rows


def test_a_refused_move_says_what_is_possible_when(database: Database) -> None:
    order = order_in(database, COMPLETED)
    with pytest.raises(ledger.MoveRefused, match="pending or wip") as refused:
        ledger.cancel(database, order.id)
    assert refused.value.status == COMPLETED
    with pytest.raises(ledger.MoveRefused, match="failed or cancelled"):
        ledger.retry(database, order.id)
    with pytest.raises(ledger.UnknownOrder):
        ledger.cancel(database, ledger.new_id())

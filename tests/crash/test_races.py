"""Hands that reach for the same order at once: the first commit wins, and everybody is told so.

Each hand has a thread and a database handle of its own. For every order they are let go together,
each a random moment later, so that in thousands of races everyone comes first, last and between.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

import ledger
from database import Database, RowsLocked, Sql
from ledger import Beat, Claimed, Ending, LostLease, MoveRefused, OrderRow, Request, UnknownOrder
from ledger.orders import COLUMNS, order_row
from models import CANCELLED, FAILED, MOVES, NOTHING, PENDING, WIP
from tests.crash.racing import Told, met, race
from tests.factories import MANAGER, claim, ending, new_order
from tests.ledger import evidence
from tests.ledger.model import BRINGS, LATE, report

# Few orders are in progress at a time, so that looking for the stale ones stays quick.
BATCH = 250
HOUR = 3_600_000
HOW = ("completed", "failed", "retry", "crashed", "handed back", "given back")
ROWS = Sql(f"SELECT {COLUMNS} FROM job_order")
ATTEMPTS = Sql("SELECT order_id, lease, outcome FROM attempt ORDER BY lease")
AGE = Sql("UPDATE job_order SET last_updated = last_updated - :ms WHERE id = :id")


def in_progress(database: Database, count: int) -> list[Claimed]:
    """So many claimed orders, each silent for longer than the next: by hours."""
    ledger.submit(database, [Request([new_order() for _ in range(count)])])
    claimed = claim(database, free=count)
    ages = [
        {"id": database.key(order.id), "ms": (count - nth) * HOUR}
        for nth, order in enumerate(claimed)
    ]
    database.write(lambda transaction: transaction.many(AGE, ages))
    return claimed


def rescue_as_due(database: Database, nth: int, count: int, max_crashes: int) -> Any:
    """Rescue the nth order of those; the earlier ones are out of the rescuer's reach by then."""
    return ledger.rescue(database, (count - nth) * HOUR - HOUR // 2, max_crashes=max_crashes)


def or_refused(move: Callable[[Database, str], Any], database: Database, order_id: str) -> Any:
    """What the move answers, or the status that forbids it."""
    try:
        return move(database, order_id)
    except MoveRefused as refused:
        return refused.status
    except UnknownOrder:
        return NOTHING


def patiently(work: Callable[[], list[Ending]]) -> list[Ending]:
    """What is kept locked for half a second is tried again, as a manager does."""
    while True:
        try:
            return work()
        except RowsLocked:
            continue


class Records(NamedTuple):
    """All that the database holds of each order."""

    rows: dict[str, OrderRow]
    history: dict[str, list[tuple[int, str]]]
    events: dict[str, list[str]]

    @classmethod
    def read(cls, database: Database) -> Records:
        rows = {row.id: row for row in map(order_row, database.read(ROWS))}
        history: dict[str, list[tuple[int, str]]] = {}
        for raw, lease, outcome in database.read(ATTEMPTS):
            order_id = raw if isinstance(raw, str) else next(ledger.unpack(raw))
            history.setdefault(order_id, []).append((lease, outcome))
        events: dict[str, list[str]] = {}
        for event in evidence.events(database):
            for order_id in event.ids:
                events.setdefault(order_id, []).append(event.kind)
        return cls(rows, history, events)


def tallies_agree(database: Database, paths: Sequence[Sequence[str]]) -> None:
    """The tallies are exactly the moves on these paths, and their levels those of the table."""
    made = Counter(move for path in paths for move in pairwise(path) if move[0] != NOTHING)
    counted = evidence.moves(database)
    assert Counter({move: n for move, n in counted.items() if move[0] != NOTHING}) == made
    assert evidence.levels(database) == evidence.counted(database)


def tell(
    capsys: pytest.CaptureFixture[str], database: Database, races: int, **figures: int
) -> None:
    with capsys.disabled():
        told = ", ".join(f"{name} {n}" for name, n in figures.items())
        print(f"\n{database.dialect}: {races} races: {told}")


def test_cancel_finish_and_rescue_have_one_winner(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(1)
    races, wins, meetings = 3000, Counter[str](), 0
    raced: list[tuple[Ending, list[str]]] = []
    cancelled: dict[str, OrderRow] = {}
    for _ in range(0, races, BATCH):
        orders = in_progress(database, BATCH)
        endings = [report(order, chance.choice(HOW)) for order in orders]
        crashes = [chance.choice((1, 3)) for _ in orders]

        def finish(handle: Database, nth: int, endings: list[Ending] = endings) -> list[Ending]:
            return patiently(lambda: ledger.finish(handle, MANAGER, [endings[nth]]))

        def cancel(handle: Database, nth: int, orders: list[Claimed] = orders) -> Any:
            return or_refused(ledger.cancel, handle, orders[nth].id)

        def rescue(handle: Database, nth: int, crashes: list[int] = crashes) -> Any:
            return rescue_as_due(handle, nth, BATCH, crashes[nth])

        told = race(database.url, (finish, cancel, rescue), BATCH, chance)
        meetings += sum(map(met, told))
        for order, end, heard in zip(orders, endings, told, strict=True):
            winner, steps, row = agree_among_themselves(order, end, heard)
            wins[winner] += 1
            raced.append((end, [PENDING, WIP, *steps]))
            if row is not None:
                cancelled[order.id] = row
    tell(capsys, database, races, met=meetings, **wins)
    assert set(wins) == {"finish", "cancel", "rescue"}

    recorded = Records.read(database)
    for end, path in raced:
        agrees(recorded, end, path)
        assert cancelled.get(end.id, recorded.rows[end.id]) == recorded.rows[end.id]
    tallies_agree(database, [path for _, path in raced])


def agree_among_themselves(
    order: Claimed, end: Ending, told: Sequence[Told]
) -> tuple[str, list[str], OrderRow | None]:
    """Who won, where the order went by what all were told, and what the cancel answered."""
    lost, answer, rescued = (one.answer for one in told)
    assert lost in ([], [end])
    assert [(one.id, one.lease) for one in rescued] in ([], [(order.id, order.lease)])
    assert lost or not rescued, "the holder and the rescuer both heard that it is theirs"
    steps = [one.status for one in rescued] if lost else [end.to]
    winner = "finish" if not lost else "rescue" if rescued else "cancel"
    if isinstance(answer, OrderRow):
        return winner, [*steps, CANCELLED], answer
    assert answer == steps[-1], "the refusal names what the order is"
    return winner, steps, None


def agrees(recorded: Records, end: Ending, path: list[str]) -> None:
    """The order's row, events and history are those of this path, which is a legal one."""
    first, *later = path[2:]
    assert all(after in MOVES[before] for before, after in pairwise(path)), path
    kinds = [kind for kind in recorded.events[end.id] if kind != LATE]
    assert [BRINGS[kind] for kind in kinds] == path
    finished = LATE not in recorded.events[end.id]
    assert recorded.events[end.id].count(LATE) == (not finished)
    rescued = kinds[2] in ("rescued", "crashed")
    row = recorded.rows[end.id]
    assert (row.status, row.lease) == (path[-1], end.lease)
    assert row.attempts == 1 - (finished and end.uncounted)
    assert row.crashes == (rescued or (finished and end.crashed))
    assert row.result == (end.result if finished else None)
    if first == FAILED:
        assert (row.error == end.error) == finished
    else:
        assert row.error is None
    assert (row.manager is None) == (first == PENDING), "who held it last is kept with its end"
    kept = []
    if first == PENDING and (rescued or end.keeps_history):
        kept = [(end.lease, "worker_lost" if rescued else end.outcome)]
    assert recorded.history.get(end.id, []) == kept
    assert later in ([], [CANCELLED])


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_retry_by_hand_and_a_delete_have_one_winner(
    database: Database, capsys: pytest.CaptureFixture[str], many: bool
) -> None:
    chance = random.Random(2)
    count = 400
    orders = in_progress(database, count)
    ended = {order.id: chance.choice((FAILED, CANCELLED)) for order in orders}
    ledger.finish(database, MANAGER, [ending(o, FAILED) for o in orders if ended[o.id] == FAILED])
    ledger.cancel_many(database, [i for i, status in ended.items() if status == CANCELLED])

    def retry(handle: Database, nth: int) -> Any:
        return or_refused(ledger.retry, handle, orders[nth].id)

    def delete(handle: Database, nth: int) -> Any:
        if many:
            return ledger.delete_many(handle, [orders[nth].id])
        return or_refused(ledger.delete, handle, orders[nth].id)

    told = race(database.url, (retry, delete), count, chance)
    recorded = Records.read(database)
    wins, paths = Counter[str](), []
    for order, ((retried, *_), (deleted, *_)) in zip(orders, told, strict=True):
        path = [PENDING, WIP, ended[order.id]]
        if isinstance(retried, OrderRow):
            assert deleted == (0 if many else PENDING)
            assert recorded.rows[order.id] == retried
            assert recorded.history[order.id] == [(1, ended[order.id])]
            path.append(PENDING)
        else:
            assert retried == NOTHING
            assert deleted == 1 if many else isinstance(deleted, OrderRow)
            assert order.id not in recorded.rows
            assert order.id not in recorded.history
            path.append(NOTHING)
        wins["delete" if path[-1] == NOTHING else "retry"] += 1
        assert [BRINGS[kind] for kind in recorded.events[order.id]] == path
        paths.append(path)
    tell(capsys, database, count, met=sum(map(met, told)), **wins)
    assert set(wins) == {"retry", "delete"}
    tallies_agree(database, paths)


def test_a_beat_and_a_rescue_have_one_winner(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(3)
    races, wins, meetings, paths = 1000, Counter[str](), 0, []
    for _ in range(0, races, BATCH):
        orders = in_progress(database, BATCH)

        def renew(handle: Database, nth: int, orders: list[Claimed] = orders) -> list[LostLease]:
            return ledger.renew(handle, MANAGER, [Beat(orders[nth].id, 1, "w", 5, "{}")])

        def rescue(handle: Database, nth: int) -> Any:
            return rescue_as_due(handle, nth, BATCH, 1 + nth % 2)

        ends = race(database.url, (renew, rescue), BATCH, chance)
        recorded = Records.read(database)
        for order, ((lost, *_), (rescued, *_)) in zip(orders, ends, strict=True):
            row = recorded.rows[order.id]
            told_next = rescued and not lost  # a beat waits for no lock, so the next one is told
            beat = [Beat(order.id, 1, "w", 5, "{}")]
            told = ledger.renew(database, MANAGER, beat) if told_next else lost
            assert told == [(one.id, one.lease, one.status) for one in rescued]
            assert row.status == (rescued[0].status if rescued else WIP)
            assert (row.progress is None) == (row.status != WIP), "a beat that came too late wrote"
            wins["rescue" if rescued else "renew"] += 1
            path = [PENDING, WIP] if row.status == WIP else [PENDING, WIP, row.status]
            paths.append(path if row.status == FAILED else [*path, CANCELLED])
        meetings += sum(map(met, ends))
        # The next are to be raced for alone.
        ledger.cancel_many(database, [order.id for order in orders])
    tell(capsys, database, races, met=meetings, **wins)
    assert set(wins) == {"renew", "rescue"}
    tallies_agree(database, paths)

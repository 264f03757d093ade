"""Levels without counting the table, and folding that loses nothing."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

import ledger
from database import Database, Sql
from ledger import Ending, tallies
from ledger.record import bucket_of
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP
from tests.factories import MANAGER, claim, ending, make_stale, new_order, order_in
from tests.ledger import evidence

HOUR, DAY = 60, 24 * 60
# A minute in the middle of an hour in the middle of a day, for tests that set the clock.
NOON = 20_000 * DAY + 12 * HOUR + 30

AGE = Sql("UPDATE tally SET minute = minute - :minutes")
AGE_EACH = Sql("UPDATE tally SET minute = minute - :minutes WHERE id = :id")
IDS = Sql("SELECT id FROM tally ORDER BY id")
ROWS = Sql(
    "SELECT minute, queue, type, before, after, n, runs, run_ms, histogram FROM tally "
    "ORDER BY minute, queue, type, before, after"
)
ADD = Sql("""
    INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms, histogram)
    VALUES (:minute, 'q', 'add', 'wip', 'completed', 1, 1, :run_ms, :histogram)""")

Sums = dict[tuple[str, ...], tuple[int, int, int, dict[str, int]]]


def sums(database: Database) -> Sums:
    """Everything that folding must preserve: for each combination, all of its figures."""
    total: dict[tuple[str, ...], tuple[Counter[str], Counter[str]]] = {}
    for _, queue, kind, before, after, n, runs, run_ms, histogram in database.read(ROWS):
        figures, buckets = total.setdefault((queue, kind, before, after), (Counter(), Counter()))
        figures.update(n=n, runs=runs, run_ms=run_ms)
        buckets.update(json.loads(histogram or "{}"))
    return {
        key: (figures["n"], figures["runs"], figures["run_ms"], dict(buckets))
        for key, (figures, buckets) in total.items()
    }


def age(database: Database, minutes: int) -> None:
    database.write(lambda transaction: transaction.run(AGE, {"minutes": minutes}))


def add(database: Database, minutes: Iterable[int], run_ms: int = 5) -> None:
    """Tallies of one completed order each, of these minutes."""
    histogram = json.dumps({bucket_of(run_ms): 1})
    rows = [{"minute": minute, "run_ms": run_ms, "histogram": histogram} for minute in minutes]
    database.write(lambda transaction: transaction.many(ADD, rows))


def count(database: Database) -> int:
    return len(database.read(ROWS))


def minutes(database: Database) -> list[int]:
    return [row[0] for row in database.read(ROWS)]


@pytest.fixture
def fold_at(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], int]:
    """Folds as if it were this minute."""

    def fold(minute: int) -> int:
        monkeypatch.setattr(tallies, "NOW_MINUTE", Sql(f"SELECT CAST({minute} AS BIGINT)"))
        return ledger.fold(database)

    return fold


@pytest.mark.parametrize("seed", range(2))
def test_levels_equal_a_count_of_the_table_after_any_sequence(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        _some_move(database, chance)
        assert evidence.levels(database) == evidence.counted(database)
    assert ledger.fold(database) >= 0
    assert evidence.levels(database) == evidence.counted(database)


def _some_move(database: Database, chance: random.Random) -> None:
    by_status: dict[str, list[str]] = {}
    for row in database.read(Sql("SELECT id, status FROM job_order ORDER BY id")):
        (order_id,) = [row[0]] if isinstance(row[0], str) else ledger.unpack(row[0])
        by_status.setdefault(row[1], []).append(order_id)
    match chance.randrange(6):
        case 0 | 1:
            kinds = [new_order(type=chance.choice(("add", "sleep"))) for _ in range(3)]
            ledger.submit(database, [ledger.Request(kinds)])
        case 2:
            endings: list[Ending] = [
                ending(order, chance.choice((COMPLETED, FAILED, PENDING)), delay_ms=0)
                for order in claim(database, free=3)
            ]
            ledger.finish(database, MANAGER, endings)
        case 3:
            for order in claim(database):
                make_stale(database, order.id)
            ledger.rescue(database, 1000, max_crashes=chance.choice((1, 3)))
        case 4:
            for order_id in by_status.get(PENDING, [])[:1]:
                ledger.cancel(database, order_id)
            for order_id in by_status.get(COMPLETED, [])[:1]:
                ledger.retrieve(database, order_id)
        case 5:
            for order_id in by_status.get(FAILED, [])[:1] + by_status.get(CANCELLED, [])[:1]:
                chance.choice((ledger.retry, ledger.delete))(database, order_id)


def test_levels_and_the_times_of_runs(database: Database) -> None:
    assert ledger.levels(database) == ({}, 0, 0)
    for status in (COMPLETED, RETRIEVED, FAILED, CANCELLED, WIP, PENDING):
        order_in(database, status)
    levels = ledger.levels(database)
    assert {status: n for status, n in levels.by_status.items() if n} == dict.fromkeys(
        (COMPLETED, RETRIEVED, FAILED, CANCELLED, WIP, PENDING), 1
    )
    assert (levels.runs, levels.run_ms) == (3, 15)


def test_a_flow_counts_what_ended_in_the_last_minutes(database: Database) -> None:
    order_in(database, COMPLETED)
    order_in(database, FAILED)
    age(database, 10)
    order_in(database, COMPLETED)
    order_in(database, RETRIEVED)
    order_in(database, CANCELLED)
    assert ledger.flow(database, 5) == {COMPLETED: 2}
    assert ledger.flow(database, 15) == {COMPLETED: 3, FAILED: 1}


@pytest.mark.parametrize(
    ("run_ms", "bucket"),
    [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1023, 10), (1024, 11), (3_600_000, 22)],
)
def test_a_bucket_holds_a_power_of_two(run_ms: int, bucket: int) -> None:
    assert bucket_of(run_ms) == bucket


def test_folding_preserves_every_sum_and_histogram(database: Database) -> None:
    chance = random.Random(1)
    for _ in range(40):
        _some_move(database, chance)
    rows = database.read(IDS)
    for (row,) in rows:
        given = {"id": row, "minutes": chance.choice((0, 1, 2, 3, 150, 200, 3000, 9000))}
        database.write(lambda tx, given=given: tx.run(AGE_EACH, given))  # type: ignore[misc]
    before, levels = sums(database), ledger.levels(database)
    saved = ledger.fold(database)
    assert saved == len(rows) - count(database) > 0
    assert sums(database) == before
    assert ledger.levels(database) == levels
    assert evidence.levels(database) == evidence.counted(database)


def test_what_is_folded_stays_folded(database: Database, fold_at: Callable[[int], int]) -> None:
    add(database, [NOON - 5] * 10 + [NOON - 200] * 10 + [NOON - 5000] * 10)
    assert fold_at(NOON) == 27
    rows = database.read(ROWS)
    assert fold_at(NOON) == 0
    assert database.read(ROWS) == rows


def test_the_last_two_hours_stay_apart_by_minutes(
    database: Database, fold_at: Callable[[int], int]
) -> None:
    add(database, [NOON, NOON - 1, NOON - 1, NOON - 119, NOON - 119, NOON - 119])
    assert fold_at(NOON) == 3
    folded = [(NOON - row[0], row[5], row[7], row[8]) for row in database.read(ROWS)]
    assert folded == [
        (119, 3, 15, '{"3": 3}'),
        (1, 2, 10, '{"3": 2}'),
        (0, 1, 5, '{"3": 1}'),
    ]


def test_different_combinations_stay_apart(database: Database) -> None:
    for status in (COMPLETED, FAILED, CANCELLED):
        order_in(database, status, queue="a")
        order_in(database, status, queue="b", type="sleep")
    age(database, 10)
    assert ledger.fold(database) > 0
    assert count(database) == 2 * len(evidence.moves(database))


@pytest.mark.parametrize(("grain", "oldest"), [(HOUR, 2 * HOUR), (DAY, 2 * DAY)])
def test_old_minutes_become_hours_and_old_hours_days(
    database: Database, fold_at: Callable[[int], int], grain: int, oldest: int
) -> None:
    """All minutes of one whole hour (day) that lies well beyond its bound."""
    start = (NOON - oldest - 2 * grain) // grain * grain
    add(database, range(start, start + grain, grain // 20))
    before = sums(database)
    assert fold_at(NOON) == 19
    assert minutes(database) == [start]
    assert sums(database) == before


def test_folding_minute_by_minute_leaves_a_row_an_hour(
    database: Database, fold_at: Callable[[int], int]
) -> None:
    """As a manager does it: a tick a minute while the minutes grow old one after the other."""
    start = NOON // HOUR * HOUR
    add(database, range(start, start + HOUR))
    before = sums(database)
    for minute in range(start + 100, start + 5 * HOUR):
        fold_at(minute)
        assert count(database) <= HOUR
    assert minutes(database) == [start]
    assert sums(database) == before


def test_folding_hour_by_hour_leaves_a_row_a_day(
    database: Database, fold_at: Callable[[int], int]
) -> None:
    start = NOON // DAY * DAY
    add(database, range(start, start + DAY, 20))
    before = sums(database)
    for minute in range(start + DAY, start + 5 * DAY, HOUR):
        fold_at(minute)
    assert minutes(database) == [start]
    assert sums(database) == before


def test_a_late_tally_joins_what_is_folded(
    database: Database, fold_at: Callable[[int], int]
) -> None:
    """A transaction that began before the fold commits after it, with an older minute."""
    start = NOON // HOUR * HOUR - 5 * HOUR
    add(database, [start, start + 10])
    fold_at(NOON)
    add(database, [start + 20])
    before = sums(database)
    assert fold_at(NOON) == 1
    assert minutes(database) == [start]
    assert sums(database) == before


def test_folding_at_once_loses_nothing(database: Database, fold_at: Callable[[int], int]) -> None:
    add(database, [NOON - 10] * 50 + [NOON - 200] * 50 + [NOON - 5000] * 50)
    before = sums(database)
    folded = evidence.at_once([lambda: fold_at(NOON)] * 4)
    assert sum(folded) == 147
    assert sums(database) == before

"""The sampler: the system's state kept for all, what workers use kept for charts, outages told."""

from __future__ import annotations

import json
import pickle

import pytest

import ledger
from database import Database, DatabaseAway, Sql
from ledger import ManagerCard, condition
from ledger.usage import MOST_ROWS, Used, keep_usage, usage
from ledger.workers import WorkerNews, WorkerReport, report_workers
from manager.sampler import Sampler
from tests import factories
from tests.ledger.evidence import events

SAMPLES = Sql("SELECT grain, manager, content FROM usage_sample ORDER BY grain, at, manager")
WAITED = Sql("UPDATE job_order SET run_at = run_at - 40000, created_on = created_on - 40000")
LOOKED = Sql("UPDATE system_state SET sampled_on = sampled_on - :ms")
AGED = Sql("UPDATE usage_sample SET at = at - :ms")


class Bench:
    """A sampler, the clock that it reads, and the workers that it hears of."""

    def __init__(self, database: Database, name: str = "m1") -> None:
        card = ManagerCard(name, "host", 1, "0", "database", 4, None, 5_000, 30_000)
        ledger.register(database, card)
        self.database = database
        self.now = 100.0
        self.reports: dict[str, WorkerReport] = {}
        self.sampler = Sampler(database, name, lambda: self.reports, lambda: self.now)

    def tick(self, seconds: float = 2.0) -> None:
        self.now += seconds
        self.sampler.tick()

    def uses(self, worker: str, cpu: float | None, ram: float = 10.0) -> None:
        self.reports[worker] = WorkerReport(worker, "busy", "thread", cpu, ram, 1, 0, None)

    def sampled_on(self) -> int:
        return condition.recall(self.database)[0].sampled_on

    def looked_before(self, ms: int) -> None:
        self.database.write(lambda transaction: transaction.run(LOOKED, {"ms": ms}))


def test_it_keeps_the_state_for_all(database: Database) -> None:
    bench = Bench(database)
    assert bench.sampled_on() == 0
    bench.tick()
    first = bench.sampled_on()
    assert first > 0
    report_workers(database, "m1", [], news=[WorkerNews("worker_lost", "m1/1")])
    bench.tick()
    assert bench.sampled_on() == first, "somebody has just looked"
    bench.looked_before(condition.CALM_MS)
    bench.tick()
    memory, _ = condition.recall(database)
    assert memory.trouble is not None
    assert memory.sampled_on >= first


def test_under_load_it_looks_more_often(database: Database) -> None:
    bench = Bench(database)
    factories.submit(database)
    database.write(lambda transaction: transaction.run(WAITED))
    bench.tick()
    assert condition.recall(database)[0].pressed_since is not None
    bench.looked_before(condition.PRESSED_MS)
    before = bench.sampled_on()
    bench.tick()
    assert bench.sampled_on() > before
    factories.claim(database)
    bench.looked_before(condition.PRESSED_MS)
    bench.tick()
    bench.looked_before(condition.PRESSED_MS)
    before = bench.sampled_on()
    bench.tick()
    assert bench.sampled_on() == before, "nothing presses any more"


def test_a_row_from_the_future_does_not_stop_it(database: Database) -> None:
    bench = Bench(database)
    bench.tick()
    first = bench.sampled_on()
    bench.looked_before(-3_600_000)
    bench.tick()
    assert bench.sampled_on() < first + 3_600_000


def test_means_of_ten_seconds_and_of_a_minute_are_kept(database: Database) -> None:
    bench = Bench(database)
    for cpu in (10.0, 20.0, None, 40.0, 50.0):
        bench.uses("m1/2", cpu)
        bench.tick()
    rows = database.read(SAMPLES)
    assert [(row[0], row[1]) for row in rows] == [(10, "m1")]
    assert json.loads(rows[0][2]) == {"2": [30.0, 10.0]}
    bench.uses("m1/2", None, 20.0)
    bench.tick(50)
    found = usage(database, 60)
    assert (found.grain, found.is_cut) == (60, False)
    (at,) = found.times
    assert at % 60_000 == 0
    assert found.workers == {"m1/2": {at: Used(30.0, 11.7)}}
    assert usage(database, 10).grain == 10
    assert len(usage(database, 10).times) in (1, 2), "the two may be of the same ten seconds"


def test_old_samples_of_all_managers_are_forgotten(database: Database) -> None:
    keep_usage(database, "gone", {10: {1: Used(1.0, 1.0)}, 60: {1: Used(1.0, 1.0)}})
    database.write(lambda transaction: transaction.run(AGED, {"ms": 40 * 60_000}))
    keep_usage(database, "m1", {10: {}, 60: {}})
    assert [row[:2] for row in database.read(SAMPLES)] == [(10, "m1"), (60, "gone"), (60, "m1")]
    database.write(lambda transaction: transaction.run(AGED, {"ms": 95 * 60_000}))
    keep_usage(database, "m1", {60: {}})
    assert [row[:2] for row in database.read(SAMPLES)] == [(10, "m1"), (60, "m1"), (60, "m1")]


def test_of_a_large_fleet_the_newest_is_read(database: Database) -> None:
    insert = Sql("""
        INSERT INTO usage_sample (grain, at, manager, content)
        VALUES (60, {now} / 60000 * 60000 - :age, :manager, '{"1":[1.0,2.0]}')""")
    rows = [{"age": n // 100 * 60_000, "manager": f"m{n % 100}"} for n in range(MOST_ROWS + 100)]
    database.write(lambda transaction: transaction.many(insert, rows))
    found = usage(database, 120)
    assert found.is_cut
    assert len(found.times) == MOST_ROWS // 100


def test_an_outage_is_told_when_it_is_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(database)

    def away(*_: object) -> None:
        raise DatabaseAway("refused by the test")

    with monkeypatch.context() as patch:
        patch.setattr(database, "read", away)
        patch.setattr(database, "write", away)
        for _ in range(4):
            with pytest.raises(DatabaseAway):
                bench.tick()
    bench.tick()
    (told,) = events(database, "database_away")
    assert told.manager == "m1"
    assert told.data["to"] - told.data["from"] == 8_000
    bench.tick()
    assert len(events(database, "database_away")) == 1


def test_an_outage_of_days_takes_no_more_memory_than_a_short_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(database)

    def away(*_: object) -> None:
        raise DatabaseAway("refused by the test")

    def kept_after(ticks: int) -> int:
        for _ in range(ticks):
            bench.uses("m1/2", float(bench.now), bench.now)
            with pytest.raises(DatabaseAway):
                bench.tick()
        return len(pickle.dumps(bench.sampler._sums))

    monkeypatch.setattr(database, "read", away)
    monkeypatch.setattr(database, "write", away)
    before = kept_after(10)
    assert kept_after(1_000) <= before + 100

"""What is to be seen of the system, what is remembered of it, and outages that are told once."""

from __future__ import annotations

from typing import Any

import pytest

import ledger
from database import Database, DatabaseAway, Sql
from ledger import ManagerCard, condition
from ledger.condition import HIGH_LOAD, RECOVERING, STABLE, State
from ledger.outages import OutageWatch
from ledger.sight import look
from ledger.workers import WorkerNews, WorkerReport, report_workers
from models import WIP
from tests import factories
from tests.ledger.evidence import events

SILENT = Sql("UPDATE manager SET last_beat = last_beat - :ms WHERE id = :id")
WAITED = Sql("UPDATE job_order SET run_at = run_at - :ms, created_on = created_on - :ms")
RESUMED = Sql("UPDATE queue SET resumed_on = resumed_on - :ms")
PAST = Sql("""
    UPDATE system_state SET pressed_since = pressed_since - :ms, load_from = load_from - :ms,
        load_until = load_until - :ms, trouble_from = trouble_from - :ms,
        trouble_until = trouble_until - :ms, sampled_on = sampled_on - :ms""")
TOLD_PAST = Sql("UPDATE system_state SET away_until = away_until - :ms")
EVENTS_PAST = Sql("UPDATE event SET at = at - :ms")
SLOW = Sql("UPDATE tally SET runs = 1, run_ms = :ms WHERE before = 'wip'")


def register(database: Database, name: str = "m1", slots: int = 4) -> None:
    card = ManagerCard(name, "host", 7, "1", "database", slots, None, 5_000, 30_000)
    ledger.register(database, card)


def change(database: Database, statement: Sql, **parameters: Any) -> None:
    database.write(lambda transaction: transaction.run(statement, parameters))


def judged(database: Database, *, kept: bool = False) -> State:
    """The state, as a web process tells it, or as a manager keeps it."""
    memory, _ = condition.recall(database)
    signs = look(database).signs
    if kept:
        condition.keep(database, memory, signs)
    return condition.judge(condition.remember(memory, signs), signs)


def busy(database: Database, slots: int) -> None:
    for number in range(1, slots + 1):
        row = WorkerReport(f"m1/{number}", "busy", "thread", 1.0, 1.0, 1, 0, None)
        report_workers(database, "m1", [row])


def test_a_new_system_is_stable_since_it_was_set_up(database: Database) -> None:
    memory, now = condition.recall(database)
    assert judged(database)[::2] == (STABLE, memory.begun_on)
    assert memory.begun_on <= now
    assert memory.sampled_on == 0


@pytest.mark.parametrize("kind", ["worker_lost", "worker_replaced"])
def test_a_lost_worker_shows_since_it_was_lost(database: Database, kind: str) -> None:
    register(database)
    report_workers(database, "m1", [], news=[WorkerNews(kind, "m1/1")])
    change(database, EVENTS_PAST, ms=50_000)
    state = judged(database)
    assert state.status == RECOVERING
    assert "worker" in state.reason
    assert 49_000 < look(database).now - state.since < 60_000
    change(database, EVENTS_PAST, ms=11_000)
    assert judged(database).status == STABLE


def test_a_rescue_shows(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    factories.make_stale(database, order)
    assert ledger.rescue(database, 1_000)
    assert judged(database).status == RECOVERING


def test_a_manager_that_nobody_is_left_to_bury_is_a_loss(database: Database) -> None:
    register(database)
    change(database, SILENT, id="m1", ms=40_000)
    state = judged(database)
    assert state.status == RECOVERING
    assert 9_000 < look(database).now - state.since < 20_000, "since its stale time was over"
    change(database, SILENT, id="m1", ms=60_000)
    assert judged(database).status == STABLE


def test_managers_remember_what_web_processes_tell(database: Database) -> None:
    factories.submit(database)
    change(database, WAITED, ms=40_000)
    assert judged(database, kept=True).status == STABLE, "too long for ten seconds"
    first, _ = condition.recall(database)
    change(database, PAST, ms=55_000)
    state = judged(database, kept=True)
    assert state.status == HIGH_LOAD
    assert first.pressed_since is not None
    assert state.since == first.pressed_since - 55_000
    factories.claim(database)
    change(database, PAST, ms=50_000)
    assert judged(database, kept=True)[::2] == (HIGH_LOAD, state.since - 50_000)
    change(database, PAST, ms=10_000)
    memory, _ = condition.recall(database)
    assert memory.load_until is not None
    assert judged(database)[::2] == (STABLE, memory.load_until + condition.LASTING_MS)


def test_what_a_pause_held_back_could_run_since_it_was_resumed(database: Database) -> None:
    factories.submit(database)
    change(database, WAITED, ms=300_000)
    assert judged(database).status == HIGH_LOAD
    ledger.pause(database)
    assert judged(database).status == STABLE
    ledger.resume(database)
    assert judged(database).status == STABLE
    ledger.pause(database, "default", "ana")
    ledger.resume(database, "default")
    change(database, RESUMED, ms=95_000)
    assert judged(database).status == HIGH_LOAD
    ledger.resume(database, "default")
    assert judged(database).status == HIGH_LOAD, "it was not paused"
    assert look(database).due_since is not None


def test_busy_workers_are_a_load_with_minutes_of_due_work_only(database: Database) -> None:
    register(database)
    factories.order_in(database, "completed")
    change(database, SLOW, ms=200_000)
    for _ in range(3):
        factories.submit(database)
    assert not look(database).signs.is_loaded
    busy(database, 4)
    assert look(database).signs.is_loaded
    ledger.pause(database)
    assert not look(database).signs.is_loaded
    ledger.resume(database)
    change(database, SLOW, ms=150_000)
    assert not look(database).signs.is_loaded, "less than two minutes for each"


def test_whoever_is_second_changes_nothing(database: Database) -> None:
    memory, _ = condition.recall(database)
    register(database)
    report_workers(database, "m1", [], news=[WorkerNews("worker_lost", "m1/1")])
    condition.keep(database, memory, look(database).signs)
    kept, _ = condition.recall(database)
    assert kept.trouble_until is not None
    condition.keep(database, memory, condition.Signs(kept.sampled_on + 1))
    assert condition.recall(database)[0] == kept


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_outage_is_told_once_for_all_and_counts(database: Database) -> None:
    clock = Clock()
    watches = [OutageWatch(database, name, 2.0, clock) for name in ("m1", None)]
    for watch in watches:
        watch.over()
    assert events(database, "database_away") == []
    for watch in watches:
        watch.failed()
    clock.now += 40
    for watch in watches:
        watch.failed()
    clock.now += 1
    for watch in watches:
        watch.over()
        watch.over()
    (told,) = events(database, "database_away")
    assert told.manager == "m1"
    assert told.data["to"] - told.data["from"] == 41_000
    state = judged(database)
    assert (state.status, state.since) == (RECOVERING, told.data["from"])
    assert "database was away for 41 s" in state.reason
    change(database, TOLD_PAST, ms=100_000)
    watches[1].failed()
    clock.now += 30
    watches[1].over()
    told = events(database, "database_away")[-1]
    assert (told.manager, told.data["to"] - told.data["from"]) == (None, 2_000), (
        "nobody asked meanwhile"
    )


def test_a_broken_connection_is_no_outage(database: Database) -> None:
    clock = Clock()
    watch = OutageWatch(database, None, 2.0, clock)
    watch.failed()
    clock.now += 0.4
    watch.over()
    clock.now += 10
    watch.over()
    seldom = OutageWatch(database, None, 0.0, clock)
    seldom.failed()
    clock.now += 10
    seldom.over()
    assert events(database, "database_away") == []


def test_an_outage_that_cannot_be_told_yet_is_told_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    watch = OutageWatch(database, None, 2.0, clock)
    watch.failed()
    clock.now += 2

    def refuse(*_: object) -> None:
        raise DatabaseAway("still")

    with monkeypatch.context() as patch:
        patch.setattr(database, "write", refuse)
        with pytest.raises(DatabaseAway):
            watch.over()
    watch.failed()
    clock.now += 1
    watch.over()
    (told,) = events(database, "database_away")
    assert told.data["to"] - told.data["from"] == 3_000

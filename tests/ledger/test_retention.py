"""What ended long ago goes, all else stays, and the figures equal the table before and after."""

from __future__ import annotations

from collections import Counter

import pytest

import ledger
from database import Database, Sql
from ledger import retention
from ledger.orders import KeySpent
from ledger.retention import FIRST_BATCH, Sweep
from ledger.workers import WorkerReport, report_workers
from models import CANCELLED, COMPLETED, FAILED, RETRIEVED
from tests.factories import claim, new_order
from tests.ledger import troubles
from tests.ledger.evidence import at_once, attempts, counted, events, keys, levels, moves, orders
from tests.ledger.past import (
    HOUR,
    aged,
    ended,
    events_aged,
    id_at,
    keys_aged,
    one_of_each,
    submitted,
)
from tests.ledger.timetable import now

RETENTION = 168 * HOUR
OLD, YOUNG = 169, 167

KINDS = Sql("SELECT count(*) FROM event")
SAID = Sql("""
    INSERT INTO job_log (order_id, seq, first, lease, attempt, lines, dropped, size, content)
    VALUES (:id, 1, 1, 1, 1, 1, 0, 2, '[]')""")
SPOKEN = Sql("SELECT count(*) FROM job_log")
LOCK = Sql("SELECT id FROM job_order WHERE id = :id FOR UPDATE")
LOST = Sql("UPDATE manager SET state = 'lost', ended_on = {now} - :ms WHERE id = :id")


def swept(database: Database, retention_ms: int = RETENTION) -> Counter[str]:
    """What one whole pass deleted."""
    sweep = Sweep(database, retention_ms)
    while sweep.step():
        pass
    assert sweep.place["phase"] is None
    assert levels(database) == counted(database)
    return +sweep.deleted


def lose(database: Database, name: str, ms: int) -> None:
    """Let a manager have been lost so long ago."""
    database.write(lambda tx: tx.run(LOST, {"id": name, "ms": ms}))


def ids(database: Database) -> set[str]:
    return {ledger.ids.text_id(row[0]) for row in orders(database)}


def test_what_ended_longer_ago_goes_whatever_its_end(database: Database) -> None:
    old = one_of_each(database, OLD)
    kept = [*one_of_each(database, YOUNG), *submitted(database, 2, OLD)]
    before = moves(database)
    assert swept(database)["orders"] == len(old)
    assert ids(database) == set(kept)
    gone = moves(database) - before
    assert gone == {(status, ""): 1 for status in (COMPLETED, RETRIEVED, FAILED, CANCELLED)}


def test_what_waits_or_runs_stays_however_old(database: Database) -> None:
    running = submitted(database, 1, 1_000)
    claim(database)
    aged(database, running, 1_000)
    waiting = submitted(database, 1, 1_000)
    assert swept(database) == {}
    assert ids(database) == {*running, *waiting}


def test_an_order_counts_from_its_end(database: Database) -> None:
    (order_id,) = ended(database, COMPLETED, hours=YOUNG, made=500)
    assert swept(database) == {}
    aged(database, [order_id], 2)
    assert swept(database) == {"orders": 1}


def test_its_history_and_what_it_said_go_with_it(database: Database) -> None:
    (order_id,) = ended(database, FAILED, hours=OLD)
    ledger.retry(database, order_id)
    ledger.cancel(database, order_id)
    aged(database, [order_id], OLD)
    database.write(lambda tx: tx.run(SAID, {"id": tx.key(order_id)}))
    assert len(attempts(database)) == 1
    swept(database)
    assert attempts(database) == []
    assert database.read(SPOKEN) == [(0,)]


def test_a_deleted_order_keeps_its_key_for_its_day(database: Database) -> None:
    def repeated() -> ledger.Request:
        made = id_at(now(database) - 2 * HOUR)
        return ledger.Request([new_order(id=made)], "anna", "one", b"digest")

    (first,) = ledger.submit(database, [repeated()])
    ledger.cancel(database, first.ids[0])
    aged(database, first.ids, 2)
    assert swept(database, HOUR)["orders"] == 1
    assert isinstance(ledger.submit(database, [repeated()])[0].refusal, KeySpent)
    keys_aged(database, 25)
    assert swept(database, HOUR)["keys"] == 1
    assert ledger.submit(database, [repeated()])[0].refusal is None


def test_a_key_lives_its_day_whatever_the_retention(database: Database) -> None:
    ledger.submit(database, [ledger.Request([new_order()], "anna", "one", b"digest")])
    keys_aged(database, 23)
    assert "keys" not in swept(database, HOUR)
    assert len(keys(database)) == 1


def test_old_events_go_and_young_ones_stay(database: Database) -> None:
    for _ in range(3):
        submitted(database, 1)
    events_aged(database, OLD)
    submitted(database, 1)
    assert swept(database) == {"events": 3}
    assert len(events(database)) == 1


def test_events_between_younger_ones_go_too(database: Database) -> None:
    """Clocks and commits differ a little from the order of ids."""
    for _ in range(3):
        submitted(database, 1)
    database.write(lambda tx: tx.run(Sql("UPDATE event SET at = 1 WHERE id = 2")))
    assert swept(database) == {"events": 1}


def test_managers_that_ended_a_day_ago_go(database: Database) -> None:
    for name in ("alive", "stopped", "lost", "holds"):
        troubles.manager(database, name)
    submitted(database, 1)
    claim(database, "holds")
    for name in ("alive", "stopped"):
        idle = WorkerReport(f"{name}/1", "idle", "thread", 0.0, 1.0, 0, 0, None)
        report_workers(database, name, [idle])
    for name, hours in (("stopped", 25), ("lost", 23), ("holds", 25)):
        lose(database, name, hours * HOUR)
    assert swept(database) == {"managers": 1}
    assert {row.id for row in ledger.managers(database)} == {"alive", "lost", "holds"}
    assert database.read(Sql("SELECT id FROM worker")) == [("alive/1",)], "its workers go with it"


def test_a_lost_manager_is_told_of_for_ten_minutes_at_least(database: Database) -> None:
    troubles.manager(database, "lost")
    lose(database, "lost", 599_000)
    assert "managers" not in swept(database, 36_000)
    lose(database, "lost", 601_000)
    assert swept(database, 36_000)["managers"] == 1


def test_what_was_retried_after_the_look_stays(database: Database) -> None:
    old = ended(database, FAILED, FIRST_BATCH + 10, OLD)
    sweep = Sweep(database, RETENTION)
    assert sweep.step()
    last = max(old)
    ledger.retry(database, last)
    while sweep.step():
        pass
    assert ids(database) == {last}
    assert levels(database) == counted(database)


def test_a_locked_order_is_left_to_the_next_pass(database: Database) -> None:
    if database.dialect == "sqlite":
        return  # one writer at a time: there are no locks of rows
    old = ended(database, COMPLETED, 3, OLD)
    other = Database(database.url)
    with other.session() as connection, connection.transaction():
        connection.execute(LOCK.postgres, {"id": old[1]})
        assert swept(database) == {"orders": 2}
    other.close()
    assert ids(database) == {old[1]}
    assert swept(database) == {"orders": 1}


def test_two_passes_at_once_delete_nothing_twice(database: Database) -> None:
    old = ended(database, COMPLETED, 300, OLD)
    found = at_once([lambda: swept_alone(database)] * 2)
    assert sum(one["orders"] for one in found) == len(old)
    assert moves(database)[COMPLETED, ""] == len(old)
    assert levels(database) == counted(database) == {}


def swept_alone(database: Database) -> Counter[str]:
    sweep = Sweep(database, RETENTION)
    while sweep.step():
        pass
    database.close()
    return sweep.deleted


def test_a_pass_that_broke_off_goes_on_where_it_was(database: Database) -> None:
    ended(database, COMPLETED, 3 * FIRST_BATCH, OLD)
    events_aged(database, OLD)
    first = Sweep(database, RETENTION)
    for _ in range(2):
        assert first.step()
    second = Sweep(database, RETENTION, first.place)
    while second.step():
        if second.place["phase"] == "events":
            third = Sweep(database, RETENTION, second.place)
    assert orders(database) == []
    while third.step():
        pass
    assert third.deleted["orders"] == 0, "that was done"
    assert (first.deleted + second.deleted)["orders"] == 3 * FIRST_BATCH


def test_what_is_large_goes_in_small_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(retention.BATCH_SECONDS, database.dialect, 0.0)
    ended(database, COMPLETED, 100, OLD)
    sweep = Sweep(database, RETENTION)
    sizes = []
    while len(orders(database)):
        before = sweep.deleted["orders"]
        sweep.step()
        sizes.append(sweep.deleted["orders"] - before)
    assert sizes[:3] == [FIRST_BATCH, FIRST_BATCH // 2, retention.LEAST_BATCH]


def test_a_pass_over_nothing_writes_nothing(database: Database) -> None:
    assert swept(database) == {}
    assert database.read(KINDS) == [(0,)]


def test_an_order_of_today_is_not_even_looked_at(database: Database) -> None:
    """Its id says that it was made after the cutoff."""
    (order_id,) = ended(database, COMPLETED, hours=OLD, made=1)
    assert swept(database) == {}
    assert order_id in ids(database)
    assert id_at(now(database)) > order_id

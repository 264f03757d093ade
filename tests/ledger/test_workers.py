"""The registry of workers: what managers write, what readers see of the living and of the lost."""

from __future__ import annotations

import pytest

import ledger
from database import Database, Sql
from ledger import ManagerCard, Proof
from ledger.workers import (
    LOST_MS,
    WorkerNews,
    WorkerReport,
    WorkerRow,
    count_workers,
    crews,
    prune_workers,
    report_workers,
    workers,
)
from models import COMPLETED, PENDING, WIP
from tests import factories
from tests.ledger.evidence import events

STALE_MS = 30_000
NAMES = Sql("SELECT id FROM worker ORDER BY manager, number")
SILENT = Sql("UPDATE manager SET last_beat = last_beat - :ms WHERE id = :id")
ENDED = Sql("UPDATE manager SET ended_on = ended_on - :ms WHERE id = :id")
LOST_BEFORE = Sql("UPDATE worker SET lost_on = lost_on - :ms, seen_on = seen_on - :ms")


def register(database: Database, name: str = "m1", proof: Proof | None = None) -> None:
    card = ManagerCard(
        name, "host", 7, "1", "database", 4, "a,b", 5_000, STALE_MS, proof=proof or Proof()
    )
    ledger.register(database, card)


def report(name: str, state: str = "idle", **fields: object) -> WorkerReport:
    given = {"kind": "thread", "cpu": 0.0, "ram_mb": 60.5, "assigned": 0, "done": 0}
    return WorkerReport(name, state, **(given | {"order_id": None} | fields))  # type: ignore[arg-type]


def change(database: Database, statement: Sql, ms: int, name: str = "m1") -> None:
    parameters = {"ms": ms, "id": name}
    if statement is LOST_BEFORE:
        del parameters["id"]
    database.write(lambda transaction: transaction.run(statement, parameters))


def states(database: Database) -> dict[str, str]:
    return {row.id: row.state for row in workers(database, 100)}


def only(database: Database) -> WorkerRow:
    (row,) = workers(database, 100)
    return row


def test_what_was_written_is_read_and_written_over(database: Database) -> None:
    register(database)
    order = factories.order_in(database, WIP).id
    busy = {"cpu": 99.9, "assigned": 1, "done": 3, "order_id": order, "kind": "process"}
    report_workers(database, "m1", [report("m1/1"), report("m1/2", "busy", **busy)])
    first, second = workers(database, 100)
    assert first[:10] == ("m1/1", "m1", 1, "idle", "thread", 0.0, 60.5, 0, 0, None)
    assert second[:10] == ("m1/2", "m1", 2, "busy", "process", 99.9, 60.5, 1, 3, order)
    assert (first.order_status, second.order_status) == (None, WIP)
    report_workers(database, "m1", [report("m1/2", done=2**40, cpu=None)])
    assert workers(database, 100)[0] == first
    third = workers(database, 100)[1]
    assert third[3:11] == ("idle", "thread", None, 60.5, 0, 2**40, None, None)
    assert third.last_seen >= second.last_seen


def test_the_gone_are_forgotten(database: Database) -> None:
    register(database)
    report_workers(database, "m1", [report(f"m1/{n}") for n in range(1, 5)])
    report_workers(database, "m1", [report("m1/2")], gone=["m1/1", "m1/3", "never there"])
    assert set(states(database)) == {"m1/2", "m1/4"}
    report_workers(database, "m1", [], gone=["m1/4"])
    assert set(states(database)) == {"m1/2"}


def test_pages_go_by_manager_and_number(database: Database) -> None:
    for name in ("b:1:x", "a:1:x"):
        register(database, name)
        report_workers(database, name, [report(f"{name}/{n}") for n in (10, 9, 2)])
    shown = []
    after = ""
    while page := workers(database, 2, after):
        shown += page
        after = page[-1].id
    assert [row.id for row in shown] == [f"{m}:1:x/{n}" for m in "ab" for n in (2, 9, 10)]


def test_a_sign_of_life_of_the_manager_is_one_of_its_workers(database: Database) -> None:
    register(database)
    report_workers(database, "m1", [report("m1/1")])
    before = only(database).last_seen
    ledger.renew(database, "m1", [])
    beat = crews(database)[0].last_beat
    assert only(database).last_seen == beat >= before


def test_what_a_manager_that_stops_had_vanishes_at_once(database: Database) -> None:
    register(database)
    report_workers(database, "m1", [report("m1/1", "draining")])
    ledger.retire(database, "m1", "asked to")
    report_workers(database, "m1", [report("m1/2", "draining")])  # it may come late
    assert (states(database), crews(database), count_workers(database)) == ({}, [], {})
    prune_workers(database)
    assert database.read(NAMES) == []


def test_of_a_silent_manager_all_read_as_lost_for_ten_minutes(database: Database) -> None:
    register(database)
    register(database, "m2")
    order = factories.order_in(database, WIP)
    report_workers(database, "m1", [report("m1/1", "busy", assigned=1, order_id=order.id)])
    report_workers(database, "m2", [report("m2/1")])
    change(database, SILENT, STALE_MS + 500)
    assert states(database) == {"m1/1": "lost", "m2/1": "idle"}
    row = workers(database, 1)[0]
    assert (row.cpu, row.ram_mb, row.order_id) == (None, None, order.id)
    assert [(crew.id, crew.state) for crew in crews(database)] == [
        ("m1", "lost"),
        ("m2", "running"),
    ]
    assert count_workers(database) == {"idle": 1}
    change(database, SILENT, LOST_MS - 10_000)
    prune_workers(database)
    assert states(database) == {"m1/1": "lost", "m2/1": "idle"}
    change(database, SILENT, 10_000)
    assert states(database) == {"m2/1": "idle"}
    assert [crew.id for crew in crews(database)] == ["m2"]
    prune_workers(database)
    assert database.read(NAMES) == [("m2/1",)]


def test_a_manager_that_was_only_silent_is_there_again(database: Database) -> None:
    register(database)
    report_workers(database, "m1", [report("m1/1")])
    change(database, SILENT, STALE_MS + 500)
    assert states(database) == {"m1/1": "lost"}
    ledger.renew(database, "m1", [])
    assert (states(database), count_workers(database)) == ({"m1/1": "idle"}, {"idle": 1})


def test_a_lost_worker_says_what_became_of_its_order(database: Database) -> None:
    register(database, factories.MANAGER)
    order = factories.order_in(database, WIP).id
    worker = f"{factories.MANAGER}/1"
    had = report(worker, "busy", assigned=1, order_id=order)
    report_workers(database, factories.MANAGER, [had])
    change(database, SILENT, STALE_MS + 500, factories.MANAGER)
    row = only(database)
    assert (row.state, row.assigned, row.order_status) == ("lost", 1, WIP), "it holds it still"
    aged = Sql("UPDATE job_order SET last_updated = last_updated - 60000")
    database.write(lambda transaction: transaction.run(aged))
    assert ledger.rescue(database, 1_000)
    row = only(database)
    assert (row.assigned, row.order_id, row.order_status) == (0, order, PENDING)
    factories.submit(database)
    database.write(lambda tx: tx.run(Sql("UPDATE job_order SET run_at = 0")))
    claimed = factories.claim(database, "another", 2)
    ledger.finish(database, "another", [factories.ending(one) for one in claimed])
    row = only(database)
    assert (row.assigned, row.order_status) == (0, COMPLETED)
    ledger.delete(database, order)
    assert (only(database).order_id, only(database).order_status) == (order, None)


def test_of_a_manager_that_is_proven_dead_all_read_as_lost(database: Database) -> None:
    register(database)
    report_workers(database, "m1", [report("m1/1")])
    lost = Sql("UPDATE manager SET state = 'lost', ended_on = {now} WHERE id = 'm1'")
    database.write(lambda transaction: transaction.run(lost))
    assert (states(database), crews(database)[0].state) == ({"m1/1": "lost"}, "lost")
    assert count_workers(database) == {}
    change(database, ENDED, LOST_MS)
    assert (states(database), crews(database)) == ({}, [])


def test_a_worker_that_a_living_manager_lost_is_shown_for_ten_minutes(database: Database) -> None:
    register(database)
    report_workers(database, "m1", [report("m1/1", done=5), report("m1/2")])
    report_workers(database, "m1", [report("m1/1", "lost", done=5), report("m1/2")])
    assert states(database) == {"m1/1": "lost", "m1/2": "idle"}
    assert count_workers(database) == {"idle": 1}
    change(database, LOST_BEFORE, LOST_MS)
    ledger.renew(database, "m1", [])
    assert states(database) == {"m1/2": "idle"}
    prune_workers(database)
    assert database.read(NAMES) == [("m1/2",)]


def test_a_manager_without_a_row_has_no_workers(database: Database) -> None:
    report_workers(database, "nobody", [report("nobody/1")])
    assert states(database) == {}
    prune_workers(database)
    assert database.read(NAMES) == []


def test_what_became_of_many_is_one_event_a_kind(database: Database) -> None:
    orders = ledger.new_ids(2)
    news = [
        WorkerNews("worker_added", "m1/1"),
        WorkerNews("worker_lost", "m1/1", orders[0], "Crashed"),
        WorkerNews("worker_added", "m1/2"),
        WorkerNews("worker_lost", "m1/2", orders[1], "MemoryExceeded"),
        WorkerNews("worker_lost", "m1/2"),
    ]
    report_workers(database, "m1", [], news=news)
    assert events(database) == [
        ("worker_added", [], "m1", {"workers": ["m1/1", "m1/2"]}),
        (
            "worker_lost",
            orders,
            "m1",
            {"workers": ["m1/1", "m1/2"], "why": ["Crashed", "MemoryExceeded"]},
        ),
        ("worker_lost", [], "m1", {"workers": ["m1/2"]}),
    ]


def test_the_managers_are_shown_with_what_proves_their_death(database: Database) -> None:
    register(database, "m1", Proof("lock", 3, "server"))
    (crew,) = crews(database)
    assert crew[:8] == ("m1", "host", 7, "1", 4, "database", "a,b", "running")
    assert crew.proof == "lock"
    ledger.renew(database, "m1", [], "draining")
    assert crews(database)[0].state == "draining"


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_is_kept(database: Database, limit: int) -> None:
    register(database)
    report_workers(database, "m1", [report("m1/1"), report("m1/2")])
    assert len(workers(database, limit)) == limit

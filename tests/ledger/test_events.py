"""The history of events: unfolded, in pages without a gap, filtered, and of one order."""

from __future__ import annotations

import random
from typing import Any

import pytest

import ledger
from database import Database, Sql
from ledger import Request, schedules
from ledger.events import EventItem, Position, Wanted, find_events, walk
from ledger.events.stretches import row_at
from ledger.ids import pack
from ledger.record import Record
from ledger.workers import WorkerNews, report_workers
from models import COMPLETED, FAILED, PENDING
from tests import factories
from tests.ledger.timetable import created
from tests.ledger.troubles import claimed_by, manager, worked_off

EVERYTHING = Wanted()
INSERT = Sql("""
    INSERT INTO event (at, kind, n, orders, manager) VALUES ({now} - :age, :kind, 1, :orders, 'm')
""")
OLDER = Sql("UPDATE event SET at = at - :ms")
OLDER_ORDER = Sql("""
    UPDATE job_order SET created_on = created_on - :ms, last_updated = last_updated - :ms,
        started_on = started_on - :ms, completed_on = completed_on - :ms,
        retrieved_on = retrieved_on - :ms WHERE id = :id""")
DAY = 86_400_000


def many(database: Database, count: int) -> list[str]:
    return ledger.submit(database, [Request([factories.new_order() for _ in range(count)])])[0].ids


def walked(database: Database, wanted: Wanted = EVERYTHING, limit: int = 7) -> list[EventItem]:
    """All pages, one after the other."""
    found: list[EventItem] = []
    position: Position | None = None
    for _ in range(10_000):
        page = find_events(database, wanted, limit, position)
        assert len(page.items) <= limit
        assert len(page.items) == limit or page.position is None or page.searched_to is not None
        found += page.items
        position = page.position
        if position is None:
            return found
    raise AssertionError("the pages do not end")


def kinds(items: list[EventItem]) -> list[str]:
    return [item.kind for item in items]


def test_a_batch_is_unfolded_newest_first(database: Database) -> None:
    ids = many(database, 5)
    items = find_events(database, EVERYTHING, 50).items
    assert [item.order_id for item in items] == ids[::-1]
    assert {(item.kind, item.type, item.worker) for item in items} == {("submitted", "add", None)}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 24, 25, 26])
def test_pages_have_no_gap_and_no_repeat_also_within_a_row(database: Database, limit: int) -> None:
    first, second = many(database, 5), many(database, 17)
    ledger.pause(database)
    manager(database)
    expected = [*second[::-1], *first[::-1]]
    items = walked(database, limit=limit)
    assert kinds(items[:2]) == ["manager_started", "queue_paused"]
    assert [item.order_id for item in items[2:]] == expected
    assert len({(item.row, item.place) for item in items}) == 24


def test_what_arrives_meanwhile_shifts_no_page(database: Database) -> None:
    ids = many(database, 6)
    page = find_events(database, EVERYTHING, 4)
    many(database, 3)
    rest = find_events(database, EVERYTHING, 50, page.position)
    assert [item.order_id for item in [*page.items, *rest.items]] == ids[::-1]


def test_a_claim_names_the_worker_once_it_is_known(database: Database) -> None:
    order = factories.submit(database)
    (claimed,) = factories.claim(database)
    only = Wanted(kinds=("claimed",))
    assert find_events(database, only, 5).items[0].worker is None
    again = factories.ending(claimed, PENDING, kind="retrying", delay_ms=0)
    ledger.finish(database, factories.MANAGER, [again])
    (second,) = factories.claim(database, "other")
    ledger.renew(database, "other", [ledger.Beat(order, second.lease, "other/9", 0)])
    newer, older = find_events(database, only, 5).items
    assert (newer.manager, newer.worker, newer.data) == ("other", "other/9", {"lease": 2})
    assert (older.manager, older.worker) == (factories.MANAGER, f"{factories.MANAGER}/1")


def test_parallel_lists_go_to_their_orders(database: Database) -> None:
    many(database, 3)
    orders = factories.claim(database, free=3)
    endings = [
        factories.ending(o, FAILED, worker=f"w/{n}", spent=n, allowed=3)
        for n, o in enumerate(orders, 1)
    ]
    ledger.finish(database, factories.MANAGER, endings)
    items = find_events(database, Wanted(kinds=("failed",)), 5).items
    assert [(i.order_id, i.worker, i.data["spent"], i.data["outcome"]) for i in items] == [
        (order.id, f"w/{n}", n, "error") for n, order in list(enumerate(orders, 1))[::-1]
    ]


def test_workers_are_unfolded_by_name(database: Database) -> None:
    manager(database)
    news = [WorkerNews("worker_added", f"m1/{n}") for n in (1, 2, 3)]
    report_workers(database, "m1", [], news=news)
    items = walked(database, Wanted(kinds=("worker_added",)), limit=2)
    assert [(item.worker, item.manager) for item in items] == [(f"m1/{n}", "m1") for n in (3, 2, 1)]


def test_by_kind_worker_manager_and_time(database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    manager(database, "m2")
    other = factories.submit(database)
    claimed_by(database, "m2")
    ledger.renew(database, "m2", [ledger.Beat(other, 1, "m2/7", 0)])
    worker = f"{factories.MANAGER}/1"
    mine = walked(database, Wanted(worker=worker))
    assert [(item.kind, item.order_id) for item in mine] == [
        ("completed", order),
        ("claimed", order),
    ]
    assert [item.order_id for item in walked(database, Wanted(worker="m2/7"))] == [other]
    assert walked(database, Wanted(worker="m2/70")) == []
    assert kinds(walked(database, Wanted(manager="m2"))) == ["claimed", "manager_started"]
    assert kinds(walked(database, Wanted(kinds=("manager_started", "completed")))) == [
        "manager_started",
        "completed",
    ]
    everything = walked(database)
    since = everything[1].at
    assert walked(database, Wanted(since=since)) == [i for i in everything if i.at >= since]
    assert walked(database, Wanted(since=since + DAY)) == []


def test_managers_that_a_row_names_in_a_list_are_found(database: Database) -> None:
    orders = many(database, 2)
    for name in ("m1", "m2"):
        claimed_by(database, name)
    for order in orders:
        factories.make_stale(database, order)
    assert len(ledger.rescue(database, 1_000)) == 2
    for name in ("m1", "m2"):
        assert kinds(walked(database, Wanted(manager=name))) == ["rescued", "claimed"]


def life_of(database: Database) -> str:
    """An order that failed once, was retried by hand, handed back, cancelled, and more."""
    order = factories.submit(database, type="fail", payload='{"after":0}', max_attempts=2)
    hand = worked_off(database, "m1")
    hand.work_off()
    ledger.retry(database, order)
    (claimed,) = factories.claim(database, "m2")
    back = factories.ending(claimed, PENDING, outcome="handed_back", kind="handed_back")
    back.error, back.age_ms, back.uncounted = None, None, True
    ledger.finish(database, "m2", [back])
    (again,) = factories.claim(database, "m3")
    ledger.cancel(database, order)
    late = factories.ending(again, COMPLETED)
    assert ledger.finish(database, "m3", [late]) == [late]
    return order


LIFE = [
    *("late_result_discarded", "cancelled", "handed_back", "retried", "failed", "claimed"),
    *("retrying", "claimed", "submitted"),
]


def test_the_life_of_one_order(database: Database) -> None:
    many(database, 3)
    factories.claim(database, free=3)
    order = life_of(database)
    many(database, 3)
    wanted = Wanted(order_id=order)
    items = find_events(database, wanted, 50).items
    # Those in one millisecond may come either way.
    assert sorted(kinds(items)) == sorted(LIFE)
    assert {item.order_id for item in items} == {order}
    assert [item.at for item in items] == sorted((item.at for item in items), reverse=True)
    retrying = next(item for item in items if item.kind == "retrying")
    assert retrying.data == {
        **{"attempt": 1, "outcome": "error"},
        **{"spent": 1, "allowed": 2, "delay_ms": 0},
    }
    for limit in (1, 2, 3, 5):
        assert walked(database, wanted, limit) == items
    assert kinds(walked(database, Wanted(order_id=order, kinds=("cancelled",)))) == ["cancelled"]
    assert kinds(walked(database, Wanted(order_id=order, manager="m3")))[0] != "handed_back"


def test_its_whole_happy_life_is_in_its_row(database: Database) -> None:
    order = factories.order_in(database, "retrieved").id
    everything = Sql("DELETE FROM event")
    database.write(lambda tx: tx.run(everything))
    items = walked(database, Wanted(order_id=order))
    assert kinds(items) == ["retrieved", "completed", "claimed", "submitted"]
    assert items[2].worker == f"{factories.MANAGER}/1"


def test_what_is_left_of_a_deleted_order(database: Database) -> None:
    row = factories.order_in(database, FAILED)
    ledger.delete(database, row.id)
    assert kinds(walked(database, Wanted(order_id=row.id))) == ["deleted", "failed"]
    assert walked(database, Wanted(order_id=ledger.new_id())) == []


def rows(database: Database, kind: str, count: int, age: int = 0) -> None:
    """Events of other orders, as old as that (ms)."""
    one = {"kind": kind, "age": age, "orders": pack([ledger.new_id()])}
    database.write(lambda tx: tx.many(INSERT, [one] * count))


def test_a_long_life_is_looked_for_near_its_moments_only(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among more of the rarer events than a page looks at, all before and after it."""
    monkeypatch.setattr(ledger.events, "WINDOW_ROWS", 500)
    order = life_of(database)
    key = {"id": database.key(order), "ms": DAY}
    attempts = Sql("""UPDATE attempt SET ended_on = ended_on - :ms, started_on = started_on - :ms
        WHERE order_id = :id""")
    database.write(lambda tx: tx.run(OLDER_ORDER, key))
    database.write(lambda tx: tx.run(attempts, key))
    database.write(lambda tx: tx.run(OLDER, {"ms": DAY}))
    rows(database, "retrying", 3_000, age=DAY // 2)
    page = find_events(database, Wanted(order_id=order), 50)
    assert sorted(kinds(page.items)) == sorted(LIFE)
    assert page.position is None


def test_a_search_is_bounded_and_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "WINDOW_ROWS", 300)
    order = factories.order_in(database, FAILED).id
    rows(database, "retrying", 1_000)
    for wanted in (Wanted(kinds=("failed",)), Wanted(manager=factories.MANAGER)):
        page = find_events(database, wanted, 5)
        assert page.items == []
        assert page.position is not None
        assert page.searched_to is not None
        assert "failed" in kinds(walked(database, wanted))
    page = find_events(database, Wanted(order_id=order), 5)
    assert page.searched_to is not None
    assert kinds(walked(database, Wanted(order_id=order))) == ["failed", "claimed", "submitted"]


def test_a_search_whose_time_is_up_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "WINDOW_SECONDS", 0)
    order = life_of(database)
    rows(database, "retrying", 300)
    assert sorted(kinds(walked(database, Wanted(order_id=order)))) == sorted(LIFE)
    monkeypatch.setattr(ledger.events, "WINDOW_ROWS", 10)
    assert sorted(kinds(walked(database, Wanted(order_id=order)))) == sorted(LIFE)
    assert len(walked(database)) > 300


def test_schedules_are_told(database: Database) -> None:
    created(database)
    made, _ = schedules.run(database, "nightly", Request([factories.new_order()]))
    run, _, first = walked(database)
    assert (run.kind, run.order_id, run.data) == ("schedule_run", made.id, {"schedule": "nightly"})
    assert first.kind == "schedule_created"


def test_the_row_of_a_time_is_found_by_halving(database: Database) -> None:
    rows(database, "retrying", 50, age=10_000_000)
    rows(database, "retrying", 50, age=5_000_000)
    gaps = Sql("DELETE FROM event WHERE id % :every = 3")
    database.write(lambda tx: tx.run(gaps, {"every": 7}))
    ends = Sql("SELECT id, at FROM event ORDER BY id")
    told: list[Any] = database.read(ends)
    for at in (0, told[0][1], told[0][1] + 1, told[-1][1], told[-1][1] + 1):
        expected = next((row for row, then in told if then >= at), told[-1][0] + 1)
        found = row_at(database, at)
        assert [r for r, _ in told if r >= found] == [r for r, _ in told if r >= expected]


@pytest.mark.parametrize("seed", range(3))
def test_any_mixture_of_rows_has_stable_pages(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    record = Record()
    for _ in range(40):
        ids = [ledger.new_id() for _ in range(chance.choice((0, 0, 1, 3, 20)))]
        record.event("mixed", ids, "m", numbers=list(range(len(ids))))
    database.write(record.write)
    items = walked(database, limit=500)
    for limit in (1, 3, 19, 20, 21):
        assert walked(database, limit=limit) == items

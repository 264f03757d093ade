"""The plans of what the history of events and the reasons of an order read, among many: no
statement walks a table, and none sorts what an index gives in order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import ledger
from database import Database, Sql
from ledger import Request
from ledger.events import EventPage, Wanted, find_events
from ledger.events.stretches import AT_OR_BELOW, BEYOND, ENDS
from ledger.events.walk import HOLDERS, ROWS, STEP_END_RARE, Walk
from ledger.ids import pack
from ledger.why import explain
from ledger.why.circumstances import BEFORE, HIGHER, MANAGERS, ORDER, RUNNING
from tests import factories
from tests.ledger.evidence import plan
from tests.ledger.troubles import claimed_by, manager

EVENTS, ORDERS, QUEUES = 100_000, 5_000, 40
ANALYZE = Sql("ANALYZE")
NUMBERS = """(WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < :many)
    SELECT n FROM r) AS numbers"""
FILL = Sql(f"""
    INSERT INTO event (at, kind, n, orders, manager)
    SELECT {{now}} - 10 * (:many - n),
        CASE WHEN n % 1000 = 0 THEN 'retrying' WHEN n % 2 = 0 THEN 'claimed' ELSE 'completed' END,
        1, :orders, 'm1' FROM {NUMBERS}""")
END = Sql("""
    UPDATE job_order SET status = 'completed', completed_on = {now}, manager = 'm1', lease = 1
    WHERE queue = 'ended'""")


@pytest.fixture(params=[False, True], ids=["no statistics", "fresh statistics"])
def full(request: pytest.FixtureRequest, database: Database) -> Database:
    others = {"many": EVENTS, "orders": pack([ledger.new_id()])}
    database.write(lambda tx: tx.run(FILL, others))
    manager(database)
    ended = [factories.new_order(queue="ended") for _ in range(ORDERS)]
    waiting = [factories.new_order(queue=f"q{n % QUEUES}") for n in range(ORDERS)]
    for orders in (ended, waiting):
        ledger.submit(database, [Request(orders)])
    database.write(lambda tx: tx.run(END))
    assert len(claimed_by(database, "m1", 50, "q0")) == 50
    if request.param:
        database.write(lambda tx: tx.run(ANALYZE))
    return database


def asked(database: Database) -> Iterator[tuple[str, Sql, dict[str, Any]]]:
    """The index that each statement must use, the statement, and its parameters."""
    sqlite = database.dialect == "sqlite"
    order = database.read(Sql("SELECT id FROM job_order WHERE queue = 'q1' LIMIT 1"))[0][0]
    ids = database.ids([ledger.ids.text_id(order) if sqlite else str(order)])
    key = {"id": order}
    order_pk = "sqlite_autoindex_job_order_1" if sqlite else "job_order_pkey"
    event_pk = "INTEGER PRIMARY KEY" if sqlite else "event_pkey"
    walk = Walk(database, Wanted(order_id=factories.new_order().id), True, None)
    bounds = {"high": 2**62, "low": 0}
    yield "event_rare", STEP_END_RARE, bounds | {"count": 10}
    yield "event_rare", walk.heads, walk.parameters | bounds | {"most": 50}
    yield "event_rare", BEYOND, {"low": 5, "most": 10_000}
    yield event_pk, Walk(database, Wanted(), False, None).heads, bounds | {"most": 50}
    yield event_pk, AT_OR_BELOW, {"id": 3_000}
    yield "SEARCH event" if sqlite else event_pk, ENDS, {}
    yield event_pk, ROWS, {"ids": "[1,2]" if sqlite else [1, 2]}
    yield order_pk, HOLDERS, {"ids": ids}
    yield order_pk, ORDER, key
    yield "job_order_wip", MANAGERS, {"holder": "m1"}
    lane = {"queue": "q1", "priority": 2}
    yield "job_order_pending", BEFORE, lane | {"run_at": 2**50, "id": order}
    lanes = json.dumps([(f"q{n}", priority) for n in range(QUEUES) for priority in (1, 2)])
    yield "job_order_pending", HIGHER, {"queue": "q1", "lanes": lanes}
    names = '["m1"]' if sqlite else ["m1"]
    yield "job_order_wip", RUNNING, {"managers": names, "most": 3}


# Managers, queues and workers are few.
WALKS = re.compile(r"Seq Scan on (job_order|event|attempt)|SCAN (o|event|job_order)\b(?! USING)")


def test_no_statement_walks_a_table(full: Database) -> None:
    for index, statement, parameters in asked(full):
        found = plan(full, statement, parameters)
        assert index in found, found
        assert not WALKS.search(found), found
        assert "event_commit_order" not in found, found


def test_the_rarer_events_are_walked_without_the_common_ones(full: Database) -> None:
    """SQLite's machine takes steps for each row it looks at; PostgreSQL tells its rows."""
    walk = Walk(full, Wanted(kinds=("retrying",)), True, None)
    parameters = walk.parameters | {"high": 2**62, "low": 0, "most": 1_000}
    with full.session() as connection:
        if full.dialect == "sqlite":
            steps = 0

            def count() -> bool:
                nonlocal steps
                steps += 1
                return False

            connection.set_progress_handler(count, 100)
            assert len(connection.execute(walk.heads.sqlite, parameters).fetchall()) == 100
            connection.set_progress_handler(None)
            assert steps < 30
            return
        (explained,) = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {walk.heads.postgres}", parameters
        ).fetchone()
    removed = re.findall(r"'Rows Removed by Filter': (\d+)", str(explained))
    assert sum(map(int, removed)) < 100


def test_what_one_answer_reads_is_a_handful_of_statements(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ledger.ids.text_id(full.read(Sql("SELECT id FROM job_order WHERE queue = 'q2'"))[0][0])
    read = Database.read
    reads: list[Any] = []

    def counting(database: Database, *arguments: Any) -> Any:
        reads.append(arguments)
        return read(database, *arguments)

    monkeypatch.setattr(Database, "read", counting)
    explain(full, order)
    assert len(reads) <= 9
    reads.clear()
    assert len(find_events(full, Wanted(), 50).items) == 50
    assert len(reads) <= 5
    reads.clear()
    page: EventPage = find_events(full, Wanted(order_id=order), 50)
    assert [item.kind for item in page.items] == ["submitted"]
    assert len(reads) <= 45, "most of them halve the table for the time of the order"

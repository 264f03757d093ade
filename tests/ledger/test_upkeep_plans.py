"""What retention and the audit read among 50,000 ended orders and 10,000 that wait: as many rows as
they are to look at, and no more, whatever statistics the planner has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

import ledger
from database import Database, Sql
from ledger import Request, retention
from ledger.audit import audit, lanes, levels, rows, tables
from ledger.retention import Sweep
from ledger.steer import DELETE_ATTEMPTS
from ledger.submit import KEY_LIFE_MS
from models import COMPLETED
from tests.factories import new_order
from tests.ledger import test_plans
from tests.ledger.past import ended, events_aged
from tests.ledger.test_plans import ENDED, PAUSED_QUEUES, QUEUES, ROW_STEPS, STATISTICS, fill, nodes
from tests.ledger.test_statements import Counter, statements, unasked

EVENTS = ATTEMPTS = KEYS = 5_000
UNHAPPY = 2_000
NEVER = 2**62
BATCH = 100
LANES = 3 * QUEUES + PAUSED_QUEUES

FAIL = """
    UPDATE job_order SET status = 'failed', error = 'x', completed_on = {now}, lease = 1,
        attempts = 1 WHERE queue = 'unhappy'"""
MANY_EVENTS = "INSERT INTO event (at, kind, n) SELECT 1, 'tested', 0 FROM job_order LIMIT :n"
MANY_ATTEMPTS = """
    INSERT INTO attempt (order_id, lease, number, outcome, ended_on)
    SELECT id, 1, 1, 'error', 1 FROM job_order WHERE queue = 'ended' LIMIT :n"""

WALK = re.compile(r"SCAN (?:job_order|attempt|event|idempotency)")
BOUNDED = {
    "counts": ["SCAN job_order"],
    "event_torn": ["SCAN event"],
}

TABLES = ("job_order", "event", "attempt", "idempotency", "tally")

__all__ = ["statements"]


class Reading(NamedTuple):
    """A statement with one set of its parameters, and how many rows it may visit."""

    name: str
    statement: Sql
    parameters: dict[str, Any]
    most: int


@pytest.fixture(params=STATISTICS)
def full(request: pytest.FixtureRequest, database: Database) -> Database:
    """The database filled, its keys and events too."""
    when = STATISTICS[request.param]
    fill(database, when if when == "before" else None)
    unhappy = [new_order(queue="unhappy") for _ in range(UNHAPPY)]
    ledger.submit(database, [Request(unhappy)])
    run(database, FAIL)
    for text, count in ((MANY_EVENTS, EVENTS), (MANY_ATTEMPTS, ATTEMPTS)):
        run(database, text, n=count)
    orders = [new_order(queue="queue-1") for _ in range(KEYS)]
    requests = [Request([one], "anna", one.id, b"digest") for one in orders]
    ledger.submit(database, requests)
    if when == "after":
        database.write(lambda tx: tx.run(test_plans.ANALYZE))
    return database


def run(database: Database, text: str, **parameters: Any) -> None:
    database.write(lambda tx: tx.run(Sql(text), parameters))


def readings(database: Database) -> Iterator[Reading]:
    ids = [row[0] for row in database.read(Sql("SELECT id FROM job_order ORDER BY id LIMIT 100"))]
    texts = [ledger.ids.text_id(order_id) for order_id in ids]
    among = {"ids": database.ids(texts)}
    first = {"after": database.key(retention._FIRST_ID)}
    below = {"below": database.key(texts[-1][:-1] + "f"), "before": NEVER}
    stale = {"stale": 30_000}
    lane = {"queue": "queue-7", "priority": 2} | stale
    small = 2 * BATCH
    yield Reading("look", retention.LOOK, first | below | {"most": BATCH}, small)
    yield Reading("delete", retention.DELETE_ORDERS, among | {"before": NEVER}, 4 * BATCH)
    yield Reading("delete attempts", DELETE_ATTEMPTS, among, 4 * BATCH)
    yield Reading("look at events", retention.LOOK_EVENTS, {"after": 0, "most": BATCH}, small)
    span = {"after": 0, "until": BATCH, "before": NEVER}
    yield Reading("delete events", retention.DELETE_EVENTS, span, small)
    life = {"life": -KEY_LIFE_MS, "most": BATCH}
    yield Reading("delete keys", retention.DELETE_KEYS, life, 4 * BATCH)
    yield Reading("running", rows.RUNNING, stale, 2 * test_plans.WIP)
    yield Reading("along", rows.ALONG, first | stale | {"most": BATCH}, small)
    yield Reading("head", rows.HEAD, lane, 2 * rows.HEADS)
    yield Reading("tail", rows.TAIL, lane, 10)
    yield Reading("lanes", lanes.LANES, {}, 4 * LANES)
    yield Reading("attempts", tables.ATTEMPTS, first | {"most": BATCH}, 4 * BATCH)
    live = test_plans.PENDING + test_plans.PAUSED + KEYS + test_plans.WIP + UNHAPPY
    most = levels.MOST_COUNTED + live + 2 * BATCH
    bounds = {"most": levels.MOST_COUNTED, "few": levels.MOST_UNHAPPY}
    yield Reading("counts", levels.COUNTS, bounds, most)
    for rule, find in tables.RULES:
        yield Reading(rule.name, find, {}, 2 * tables.NEWEST)


def visits(database: Database, reading: Reading) -> int:
    """How many rows a statement looks at; it is taken back."""
    look = sqlite_visits if database.dialect == "sqlite" else postgres_visits
    return look(database, reading)


def postgres_visits(database: Database, reading: Reading) -> int:
    with database.session() as connection, connection.transaction(force_rollback=True):
        # With parameters even where there are none: they unfold what is doubled in the text.
        explained = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {reading.statement.postgres}", reading.parameters
        ).fetchone()[0]
    looked = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(
        node["Actual Loops"] * sum(node.get(name, 0) for name in looked)
        for node in nodes(explained[0]["Plan"])
        if node.get("Relation Name") in TABLES and node["Node Type"] != "ModifyTable"
    )


def sqlite_visits(database: Database, reading: Reading) -> int:
    """The steps of SQLite's machine: a row read takes up to so many. No table is walked but those
    that an outer LIMIT bounds."""
    with database.session() as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {reading.statement.sqlite}", reading.parameters
        ).fetchall()
    walks = [row[3] for row in plan if WALK.fullmatch(row[3])]
    assert walks == BOUNDED.get(reading.name, []), reading.name
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    with database.session() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.set_progress_handler(count, ROW_STEPS)
        try:
            connection.execute(reading.statement.sqlite, reading.parameters).fetchall()
        finally:
            connection.set_progress_handler(None)
            connection.execute("ROLLBACK")
    return steps


def test_nothing_is_read_but_what_is_to_be_looked_at(full: Database) -> None:
    seen = {one.name: (visits(full, one), one.most) for one in readings(full)}
    assert {name: both for name, both in seen.items() if both[0] > both[1]} == {}
    assert all(most < ENDED for _, most in seen.values()), "else this would show nothing"


@pytest.mark.parametrize("queues", [1, 10, 100])
def test_an_audit_takes_a_bounded_number_of_statements(
    database: Database, statements: Counter, queues: int
) -> None:
    orders = [new_order(queue=f"queue-{number}") for number in range(queues)]
    ledger.submit(database, [Request(orders)])
    # What runs, a stretch, the lanes, their queues, past attempts, the levels and the moves.
    fixed = 7 + len(tables.RULES)
    looks = fixed + 2 * min(queues, rows.LANES)
    assert statements(lambda: audit(database, "auditor", 30_000, {})) == looks


def test_a_batch_takes_three_statements_and_one_for_each_kind_of_order(
    database: Database, statements: Counter
) -> None:
    for kind in ("add", "sleep"):
        ended(database, COMPLETED, 5, 169, type=kind)
    sweep = Sweep(database, 168 * 3_600_000)
    # The time, the look; the orders, their history, what they said, and two tallies.
    assert statements(sweep.step) == 2 + 3 + 2 + unasked(database)
    events_aged(database, 169)
    assert statements(sweep.step) == 1 + 1 + unasked(database)

"""The plans of the hot statements among 50,000 ended orders and fifty queues: never a walk over the
whole table, and a claim visits what it takes and no more.

Plans are asked for with the session settings of the product, with no statistics, with ones of
the empty table, and with fresh ones: a table that turns over all the time has any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest

import ledger
from database import Database, Sql
from ledger import Lane, Request
from ledger.claim import CLAIM, WAITING, WAITS, claim_parameters, waits_parameters
from ledger.finish import FINISH, FINISH_FREE
from ledger.renew import RENEW
from ledger.rescue import GIVE_UP, OWN, STALE, TAKE_BACK
from ledger.steer import CANCEL, FIND, LOCK, RETRIEVE, RETRY
from models import COMPLETED
from tests.factories import MANAGER, new_order

ENDED, PENDING, WIP, QUEUES = 50_000, 5_000, 500, 50
PAUSED, PAUSED_QUEUES = 5_000, 5
# What SQLite's machine needs at most to look at a row, or to move it.
ROW_STEPS = 100
HOLDERS = 20

END = Sql("""
    UPDATE job_order SET status = 'completed', result = '3', completed_on = {now}, manager = 'm',
        lease = 1, attempts = 1 WHERE queue = 'ended'""")
START = Sql("""
    UPDATE job_order SET status = 'wip', manager = 'manager-' || type, lease = 1, attempts = 1
    WHERE queue = 'wip'""")
# The statistics that each of these leaves are what the planner has to go by.
STATISTICS = {"none": None, "of the empty table": "before", "fresh": "after"}
NO_AUTOVACUUM = Sql("ALTER TABLE job_order SET (autovacuum_enabled = false)")
ANALYZE = Sql("ANALYZE")
WALKS = (CLAIM, WAITS, WAITING)


SQLITE_NODE = re.compile(r"(SCAN|SEARCH) (?:o|job_order)\b(?: USING (?:COVERING )?INDEX (\w+))?")


class Hot(NamedTuple):
    """A hot statement with one set of its parameters, and what its plan may touch."""

    statement: Sql
    parameters: dict[str, Any]
    indexes: frozenset[str]
    instead: frozenset[str] = frozenset()


def fill(database: Database, analyze: str | None) -> None:
    if database.dialect == "postgresql":
        database.write(lambda tx: tx.run(NO_AUTOVACUUM))
    if analyze == "before":
        database.write(lambda tx: tx.run(ANALYZE))
    for start in range(0, ENDED, 10_000):
        ended = [new_order(queue="ended") for _ in range(start, start + 10_000)]
        ledger.submit(database, [Request(ended)])
    database.write(lambda tx: tx.run(END))
    wip = [new_order(queue="wip", type=str(nth % HOLDERS)) for nth in range(WIP)]
    ledger.submit(database, [Request(wip)])
    database.write(lambda tx: tx.run(START))
    # Every other one says that it was due long ago.
    waiting = [
        new_order(queue=f"queue-{nth % QUEUES}", priority=1 + nth % 3, run_at=(None, 1)[nth % 2])
        for nth in range(PENDING)
    ]
    ledger.submit(database, [Request(waiting)])
    held_up = [new_order(queue=f"paused-{nth % PAUSED_QUEUES}") for nth in range(PAUSED)]
    ledger.submit(database, [Request(held_up)])
    for number in range(PAUSED_QUEUES):
        ledger.pause(database, f"paused-{number}")
    if analyze == "after":
        database.write(lambda tx: tx.run(ANALYZE))


@pytest.fixture(params=STATISTICS)
def full(request: pytest.FixtureRequest, database: Database) -> Database:
    """The database filled."""
    fill(database, STATISTICS[request.param])
    return database


def hot_statements(database: Database) -> Iterator[tuple[str, Hot]]:
    """Each hot statement, with parameters that hold for this database."""
    sqlite = database.dialect == "sqlite"
    primary = "sqlite_autoindex_job_order_1" if sqlite else "job_order_pkey"
    by_key = frozenset({primary})
    many = [row[0] for row in database.read(Sql("SELECT id FROM job_order LIMIT 100"))]
    one = {"id": many[0]}
    for size in (1, 100):
        ids = many[:size]
        yield f"finish {size}", Hot(FINISH, one_by_one(sqlite, ids, ENDING), by_key)
        yield f"finish free {size}", Hot(FINISH_FREE, one_by_one(sqlite, ids, ENDING), by_key)
        yield f"renew {size}", Hot(RENEW, one_by_one(sqlite, ids, BEAT), by_key)
        for ahead in (0, 100):
            for name, lanes in {"plain": LANES, "ageing": AGEING_LANES}.items():
                yield (
                    f"{name} claim {size} and {ahead} ahead",
                    Hot(
                        CLAIM,
                        claiming(sqlite, size, ahead, lanes),
                        by_key | {"job_order_pending"},
                    ),
                )
    yield "waiting", Hot(WAITING, {}, frozenset({"job_order_pending"}))
    yield "waits", Hot(WAITS, waits_parameters(LANES), frozenset({"job_order_pending"}))
    yield "stale", Hot(STALE, {"stale": 1000, "me": "m", "most": 500}, frozenset({"job_order_wip"}))
    own = {"stale": 1000, "me": "m", "most": 500}
    yield "own", Hot(OWN, own, frozenset({"job_order_wip"}))
    seen = one | {"lease": 1, "seen": 1}
    yield "take back", Hot(TAKE_BACK, seen | {"delay_ms": 1}, by_key)
    yield "give up", Hot(GIVE_UP, seen | {"error": "{}", "run_ms": 1}, by_key)
    for name, statement in {
        "find": FIND,
        "lock": LOCK,
        "cancel": CANCEL,
        "retrieve": RETRIEVE,
    }.items():
        yield name, Hot(statement, one, by_key)
    # This index holds only what it may move, and has the id in it.
    yield "retry", Hot(RETRY, one, by_key, frozenset({"job_order_unhappy"}))


ENDING = {
    "lease": 1,
    "to": COMPLETED,
    "result": "3",
    "error": None,
    "uncounted": 0,
    "crashed": 0,
    "worker": "w",
    "age_ms": 1,
    "run_ms": 1,
    "ago_ms": 0,
    "delay_ms": None,
}
BEAT = {"lease": 1, "worker": "w", "age_ms": 1, "progress": None}


def one_by_one(sqlite: bool, ids: list[Any], fields: dict[str, Any]) -> dict[str, Any]:
    """On SQLite the statement takes one order, on PostgreSQL a list a column."""
    if sqlite:
        return {"id": ids[0]} | fields
    return {"id": ids} | {name: [value] * len(ids) for name, value in fields.items()}


LANES = [
    Lane(name, priority)
    for priority in (1, 2, 3)
    for name in (
        *(f"paused-{number}" for number in range(PAUSED_QUEUES)),
        *(f"queue-{number}" for number in range(QUEUES)),
    )
]

# What one claim in ten walks: nothing is past the bound, whatever its due time was said to be.
AGEING_LANES = [lane._replace(age_ms=300_000) for lane in LANES if lane.priority == 3] + LANES


def claiming(sqlite: bool, free: int, ahead: int, lanes: Sequence[Lane] = LANES) -> dict[str, Any]:
    dialect = "sqlite" if sqlite else "postgresql"
    short = ["add"] if ahead else []
    return claim_parameters(dialect, MANAGER, lanes, free, free + ahead, short)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def postgres_faults(database: Database, hot: Hot) -> tuple[list[str], str]:
    """What is wrong with the plan on PostgreSQL, and the plan as text."""
    with database.session() as connection:
        explained = connection.execute(
            f"EXPLAIN (FORMAT JSON) {hot.statement.postgres}", hot.parameters
        ).fetchone()[0]
        lines = connection.execute(f"EXPLAIN {hot.statement.postgres}", hot.parameters).fetchall()
    faults = []
    used = set()
    for node in nodes(explained[0]["Plan"]):
        index = node.get("Index Name")
        if index is not None and index.startswith("job_order"):
            used.add(index)
            # A partial index holds only live orders; any other must be entered by its key.
            if index != "job_order_wip" and "Index Cond" not in node:
                faults.append(f"walks {index} from end to end")
        elif node.get("Relation Name") == "job_order" and node["Node Type"] == "Seq Scan":
            faults.append("walks job_order from end to end")
        if hot.statement in WALKS and node["Node Type"] in ("Sort", "Incremental Sort"):
            faults.append("sorts what the index gives in order")
    if used not in (hot.indexes, hot.instead):
        faults.append(f"uses {sorted(used)} instead of {sorted(hot.indexes)}")
    return faults, "\n".join(line for (line,) in lines)


def sqlite_faults(database: Database, hot: Hot) -> tuple[list[str], str]:
    """What is wrong with the plan on SQLite, and the plan as text."""
    with database.session() as connection:
        explained = connection.execute(
            f"EXPLAIN QUERY PLAN {hot.statement.sqlite}", hot.parameters
        ).fetchall()
    lines = [row[3] for row in explained]
    faults = []
    used = set()
    for line in lines:
        found = SQLITE_NODE.match(line)
        if found is None:
            continue
        verb, index = found.groups()
        used.add(index)
        if verb == "SCAN" and index != "job_order_wip":
            faults.append(line)
    if hot.statement in WALKS and any("TEMP B-TREE FOR ORDER" in line for line in lines):
        faults.append("sorts what the index gives in order")
    if used not in (hot.indexes, hot.instead):
        faults.append(f"uses {used} instead of {sorted(hot.indexes)}")
    return faults, "\n".join(lines)


def test_no_hot_statement_walks_the_table(full: Database) -> None:
    look = sqlite_faults if full.dialect == "sqlite" else postgres_faults
    complaints = []
    for name, hot in hot_statements(full):
        faults, plan = look(full, hot)
        if faults:
            complaints.append(f"{name}: {'; '.join(faults)}\n{plan}")
    assert not complaints, "\n\n".join(complaints)


def postgres_visits(database: Database, statement: Sql, parameters: dict[str, Any]) -> int:
    """How many rows of the table and of its indexes a statement looks at."""
    with database.session() as connection, connection.transaction(force_rollback=True):
        explained = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.postgres}", parameters
        ).fetchone()[0]
    looked = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(
        node["Actual Loops"] * sum(node.get(name, 0) for name in looked)
        for node in nodes(explained[0]["Plan"])
        if node.get("Relation Name") == "job_order" and node["Node Type"] != "ModifyTable"
    )


def sqlite_visits(database: Database, statement: Sql, parameters: dict[str, Any]) -> int:
    """The same on SQLite, where only the steps of its machine can be counted: by ROW_STEPS."""
    visits = 0

    def count() -> bool:
        nonlocal visits
        visits += 1
        return False

    with database.session() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.set_progress_handler(count, ROW_STEPS)
        try:
            connection.execute(statement.sqlite, parameters).fetchall()
        finally:
            connection.set_progress_handler(None)
            connection.execute("ROLLBACK")
    return visits


@pytest.mark.parametrize("lanes", [LANES, AGEING_LANES], ids=["plain", "ageing"])
@pytest.mark.parametrize(("free", "ahead"), [(1, 0), (100, 0), (8, 500)])
def test_a_claim_visits_what_it_takes_and_no_more(
    database: Database, free: int, ahead: int, lanes: Sequence[Lane]
) -> None:
    """Each lane once, each order three times: to see how far to go, to pick it, to move it."""
    sqlite = database.dialect == "sqlite"
    visits = sqlite_visits if sqlite else postgres_visits
    parameters = claiming(sqlite, free, ahead, lanes)
    assert visits(database, CLAIM, parameters) <= len(lanes)
    fill(database, None)
    assert visits(database, CLAIM, parameters) <= len(lanes) + 3 * (free + ahead)


def test_where_orders_wait_is_found_by_a_visit_a_queue(database: Database) -> None:
    """One more finds that there are no others; a thousand that are empty by now cost nothing."""
    visits = sqlite_visits if database.dialect == "sqlite" else postgres_visits
    for number in range(1_000):
        ledger.resume(database, f"used-{number}")
    assert visits(database, WAITING, {}) <= 1
    fill(database, None)
    assert visits(database, WAITING, {}) <= PAUSED_QUEUES + QUEUES + 1
    assert len(ledger.waiting_queues(database)) == PAUSED_QUEUES + QUEUES

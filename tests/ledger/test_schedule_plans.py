"""The plans of what managers ask of schedules all the time, among many: one step into the index."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from database import Database, Sql
from ledger.fires import DUE, MOVE, WAIT
from ledger.ids import new_id
from tests.ledger.evidence import plan
from tests.ledger.timetable import created

MANY = 20_000
FILL = """
    INSERT INTO schedule (name, expression, timezone, type, payload, queue, priority, max_attempts,
        timeout_ms, owner, enabled, created_on, changed_on, next_fire)
    SELECT name || n, expression, timezone, type, payload, queue, priority, max_attempts,
        timeout_ms, owner, enabled, created_on, changed_on,
        CASE WHEN n % 2 = 0 THEN next_fire + n END
    FROM schedule, NUMBERS"""
NUMBERS = """(WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < :many)
    SELECT n FROM r) AS numbers"""
ANALYZE = Sql("ANALYZE")
PAST = Sql("UPDATE schedule SET next_fire = {now} - 1000 WHERE name = 'first'")


@pytest.fixture(params=[False, True], ids=["no statistics", "fresh statistics"])
def full(request: pytest.FixtureRequest, database: Database) -> Database:
    created(database, "first")
    fill = Sql(FILL.replace("NUMBERS", NUMBERS))
    database.write(lambda tx: tx.run(fill, {"many": MANY}))
    database.write(lambda tx: tx.run(PAST))
    if request.param:
        database.write(lambda tx: tx.run(ANALYZE))
    return database


def moving(database: Database) -> dict[str, Any]:
    row = {"name": "first", "due": 1, "fire": 1, "next_fire": 2, "id": new_id(), "enabled": 1}
    if database.dialect == "sqlite":
        return row | {"id": database.key(row["id"])}  # type: ignore[arg-type]
    return {"rows": json.dumps([row])}


def test_no_statement_walks_the_schedules(full: Database) -> None:
    by_key = "sqlite_autoindex_schedule_1" if full.dialect == "sqlite" else "schedule_pkey"
    for statement, parameters, index in (
        (WAIT, {}, "schedule_due"),
        (DUE, {"most": 100}, "schedule_due"),
        (MOVE, moving(full), by_key),
    ):
        found = plan(full, statement, parameters)
        assert index in found, found
        assert not re.search(r"Seq Scan|SCAN schedule\b(?! USING)|Sort|TEMP B-TREE", found), found


def test_the_idle_look_costs_the_same_among_many(full: Database) -> None:
    if full.dialect == "sqlite":
        steps = 0

        def count() -> bool:
            nonlocal steps
            steps += 1
            return False

        with full.session() as connection:
            connection.set_progress_handler(count, 10)
            connection.execute(WAIT.sqlite).fetchall()
            connection.set_progress_handler(None)
        assert steps <= 10
        return
    with full.session() as connection:
        (explained,) = connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {WAIT.postgres}"
        ).fetchone()
    rows = re.findall(r"'Actual Rows': (\d+)", str(explained))
    assert max(map(int, rows)) == 1

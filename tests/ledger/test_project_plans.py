"""The plans of what is asked of a project's runs, among many other orders."""

from __future__ import annotations

import re

import pytest

import ledger
from database import Database, Sql
from ledger import NewOrder, Request
from ledger.projects import MEAN, RUNS
from tests.ledger.evidence import plan

MANY = 4_000
ANALYZE = Sql("ANALYZE")


@pytest.fixture(params=[False, True], ids=["no statistics", "fresh statistics"])
def full(request: pytest.FixtureRequest, database: Database) -> Database:
    ids = ledger.new_ids(MANY)
    orders = [
        NewOrder(one, "github", "{}", project="sums" if place % 100 == 0 else None)
        for place, one in enumerate(ids)
    ]
    ledger.submit(database, [Request(orders)])
    if request.param:
        database.write(lambda tx: tx.run(ANALYZE))
    return database


def test_a_projects_runs_are_read_from_their_index(full: Database) -> None:
    for statement in (RUNS, MEAN):
        found = plan(full, statement, {"name": "sums", "most": 20})
        assert "job_order_project" in found, found
        assert not re.search(r"Seq Scan|SCAN job_order\b(?! USING)", found), found

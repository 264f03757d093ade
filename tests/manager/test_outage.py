"""A PostgreSQL server that stops and comes back under a working manager."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import ledger
import migrations
import models
from database import Database
from jobs import Context
from manager.main import build
from models import COMPLETED
from settings import Settings
from tests.factories import submit
from tests.manager.by_hand import events
from tests.manager.conftest import JobType
from tests.servers.postgres import PostgresServer
from tests.support import wait_until


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(fsync=False) as started:
        yield started


def test_a_result_that_came_during_an_outage_is_recorded_once(
    server: PostgresServer, job_type: JobType
) -> None:
    go, begun = threading.Event(), threading.Event()
    runs: list[int] = []

    def work(context: Context) -> str:
        runs.append(context.lease)
        begun.set()
        go.wait(20)
        return "kept"

    database = Database(server.create_database())
    migrations.migrate(database)
    models.bind(database.orm)
    name = job_type("tests.through", work)
    settings = Settings(
        database_url=database.url, poll_seconds=0.1, heartbeat_seconds=0.2, stale_seconds=30.0
    )
    supervisor = build(settings, database)
    supervisor.start()
    try:
        order_id = submit(database, type=name, payload="{}", max_attempts=1)
        assert begun.wait(10)
        server.stop("immediate")
        go.set()
        wait_until(lambda: supervisor._parts.writer.unwritten() == 1)
        wait_until(lambda: supervisor._parts.heartbeat._failing)
        server.start()
        wait_until(lambda: ledger.find(database, order_id).status == COMPLETED)
        after = submit(database)
        wait_until(lambda: ledger.find(database, after).status == COMPLETED)
        assert runs == [1]
        assert ledger.find(database, order_id).result == '"kept"'
        assert events(database).count("completed") == 2
        assert "late_result_discarded" not in events(database)
    finally:
        assert supervisor.stop() == 0
        database.close()

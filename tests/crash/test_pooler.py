"""A whole site that reaches PostgreSQL only through a pooler in transaction mode."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import ledger
from models import CANCELLED, COMPLETED, PENDING, STATUSES
from tests.conftest import TEMPLATE
from tests.crash.clients import HttpClient
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres
from tests.support import wait_until

ORDERS = 200
STALE = 1.0


@pytest.fixture(scope="module")
def pooler(postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(postgres.url("postgres"), connections=4) as started:
        yield started


@pytest.fixture
def database_url(postgres: Postgres, pooler: PgBouncer) -> Iterator[str]:
    """A migrated, empty database by way of the pooler."""
    with postgres.fresh_database(template=TEMPLATE) as url:
        yield pooler.url(url)


def test_a_site_behind_a_pooler_does_its_work(site: Site) -> None:
    managers = site.managers(2)
    for manager in managers:
        manager.says("no wake-ups behind a pooler")
    api = site.api()
    gate = site.gate()
    sums = HttpClient(api)
    while len(sums.accepted) < ORDERS - 3:
        sums.step()
    failing = site.submit("mark", type="fail", payload='{"after": 0, "times": 1}')
    again = site.submit("mark", type="fail", payload='{"fatal": true}')
    cancelled = site.submit("obedient", gate)
    site.began(cancelled)
    assert api.ask(f"/api/v1/jobs/{cancelled}/cancel", "POST").status == 200
    site.ends(again)
    assert api.ask(f"/api/v1/jobs/{again}/retry", "POST").status == 200
    site.ends(*sums.accepted, failing, cancelled, again, timeout=60)

    for order, number in sums.accepted.items():
        answer = sums.result(order)
        assert (answer.status, json.loads(answer.body)["result"]) == (200, number)
    assert sums.others == []
    row = site.order(failing)
    assert (row.status, row.attempts, row.result) == (COMPLETED, 2, '{"attempt":2}')
    assert [past.outcome for past in ledger.history(site.database, failing)] == ["error"]
    assert (site.order(cancelled).status, site.order(again).attempts) == (CANCELLED, 1)
    wait_until(lambda: ("told", 1) in site.effects.words(cancelled), "the job was told")
    assert counted(site.database) == levels(site.database)
    assert sum(counted(site.database).values()) == ORDERS
    assert not events(site.database, "rescued")
    for manager in managers:
        manager.terminate()
        assert manager.wait() == 0


def test_the_work_of_a_killed_manager_is_taken_back_after_its_stale_time(site: Site) -> None:
    gate = site.gate()
    (first,) = site.managers(1, stale_seconds=STALE)
    first.says("no proof of life behind a pooler")
    order = site.submit("deaf", gate)
    site.began(order)
    site.managers(1, stale_seconds=STALE)
    first.kill()
    gate.open(lease=2)
    site.ends(order)
    row = site.order(order)
    assert (row.status, row.attempts, row.crashes) == (COMPLETED, 2, 1)


def test_a_site_gets_over_a_restart_of_the_pooler(site: Site, pooler: PgBouncer) -> None:
    gate = site.gate()
    (manager,) = site.managers(1)
    held = site.submit("deaf", gate)
    site.began(held)
    for _ in range(3):
        pooler.restart()
        site.ends(*site.submit_many("mark", 20))
    gate.open()
    site.ends(held)
    assert site.order(held).attempts == 1
    assert site.effects.words(held) == [("began", 1), ("ended", 1)]
    assert set(levels(site.database)) <= set(STATUSES) - {PENDING}
    assert manager.is_alive()

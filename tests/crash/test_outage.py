"""A database server that crashes while orders flow, and comes back."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from models import COMPLETED, ENDED, RETRIEVED
from tests.crash.clients import HttpClient, LedgerClient
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.servers.postgres import PostgresServer
from tests.support import wait_until

STALE = 1.5
LONG_STALE = 6
MORE = 60
LAPSED = "leases can no longer be trusted"


@pytest.fixture
def site(served_site: Site) -> Site:
    return served_site


def test_what_was_accepted_is_done_once_and_all_recover(site: Site, server: PostgresServer) -> None:
    managers = site.managers(2, stale_seconds=STALE)
    api = site.api(stale_seconds=STALE)
    with LedgerClient(site) as direct, HttpClient(api) as web:

        def flows() -> None:
            receipts, accepted = len(direct.receipts) + MORE, len(web.accepted) + MORE
            wait_until(
                lambda: len(direct.receipts) >= receipts and len(web.accepted) >= accepted,
                "orders flow",
            )

        def is_refused() -> None:
            refused = direct.refused, web.answers[503]
            wait_until(
                lambda: direct.refused > refused[0] and web.answers[503] > refused[1],
                "both clients are refused",
            )

        flows()
        server.stop("immediate")
        is_refused()
        server.start()
        flows()
        server.stop("immediate")
        is_refused()
        for manager in managers:  # so long that nobody may trust a lease
            manager.says(LAPSED)
        server.start()
        flows()
    wait_until(lambda: events(site.database, "database_away"), "an outage is told afterwards")

    assert all(process.is_alive() for process in (*managers, api))
    wait_until(lambda: set(counted(site.database)) <= set(ENDED), "all orders end", timeout=30)
    assert set(counted(site.database)) <= {COMPLETED, RETRIEVED}
    assert counted(site.database) == levels(site.database)
    for order, value in direct.receipts.items():
        assert json.loads(site.order(order).result or "")["value"] == value
    recorded = Counter(one for event in events(site.database, "completed") for one in event.ids)
    assert set(recorded.values()) == {1}, "an order has two outcomes on record"
    assert recorded.keys() >= direct.receipts.keys() | web.accepted.keys()
    runs = Counter((effect.order, effect.lease) for effect in site.effects.all("began"))
    assert set(runs.values()) == {1}, "a lease, which is a fencing token, stood for two runs"
    _check_answers(web)


def _check_answers(web: HttpClient) -> None:
    assert set(web.answers) == {200, 202, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in web.others)
    for order, total in web.accepted.items():
        answer = web.result(order)
        assert (answer.status, json.loads(answer.body)["result"]) == (200, total)


def test_an_outage_is_no_fault_of_a_job_that_was_told_to_stop(
    site: Site, server: PostgresServer
) -> None:
    """The server is back between the moment at which the manager stops its own work and the one at
    which others may take it: the lease holds, and the job gives up only now, as it was told."""
    gate = site.gate()
    (manager,) = site.managers(1, stale_seconds=LONG_STALE)
    order = site.submit("tardy", gate, max_attempts=1)
    site.began(order)
    server.stop("immediate")
    wait_until(lambda: ("told", 1) in site.effects.words(order), "the job is told to stop")
    server.start()
    manager.says("heartbeat is back")
    gate.open()
    site.ends(order)
    assert (site.order(order).status, site.order(order).error) == (COMPLETED, None)
    assert site.effects.words(order)[-1][0] == "ended"

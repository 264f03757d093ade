"""A database that is away for longer than a stale time, three times: no order is blamed for it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest

from models import COMPLETED
from tests.crash.harness import Site
from tests.ledger.evidence import events
from tests.servers.postgres import PostgresServer
from tests.support import wait_until

STALE = 1.5
OUTAGES = 3


def was_told(site: Site, order: str, lease: int) -> bool:
    return ("told", lease) in site.effects.words(order)


def blames_nobody(site: Site, away: Callable[[], AbstractContextManager[None]]) -> None:
    """Jobs that stop when they are told to, and jobs that don't, through three long outages."""
    site.managers(2, stale_seconds=STALE, max_workers=2)
    gate = site.gate()
    deaf = site.submit_many("deaf", 2, gate, max_attempts=1)
    for order in deaf:
        site.began(order)
    keen = [site.submit("obedient", gate, max_attempts=1) for _ in range(2)]
    for lease in range(1, OUTAGES + 1):
        for order in keen:
            site.began(order, lease=lease)
        with away():
            for order in keen:
                wait_until(partial(was_told, site, order, lease), "it is told to stop")
        for order in keen:
            site.began(order, lease=lease + 1)
    gate.open()
    site.ends(*deaf, *keen)

    rows = [site.order(order) for order in (*deaf, *keen)]
    assert {(row.status, row.attempts, row.crashes) for row in rows} == {(COMPLETED, 1, 0)}
    assert [row.lease for row in rows] == [1, 1, OUTAGES + 1, OUTAGES + 1]
    for kind in ("rescued", "crashed", "late_result_discarded"):
        assert not events(site.database, kind)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_turn_to_write_that_somebody_keeps(site: Site) -> None:
    @contextmanager
    def away() -> Iterator[None]:
        assert site.lock
        with site.lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    blames_nobody(site, away)


def test_a_server_that_is_down(served_site: Site, server: PostgresServer) -> None:
    @contextmanager
    def away() -> Iterator[None]:
        server.stop("fast")
        try:
            yield
        finally:
            server.start()

    blames_nobody(served_site, away)

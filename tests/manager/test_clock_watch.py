"""The clock of the database is set ahead: the work of those who live stays theirs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

import ledger
from database import Database, Sql
from ledger import Beat, ManagerCard
from manager.clock_watch import ClockWatch
from manager.leases import Leases
from manager.rescuer import Rescuer
from models import PENDING, WIP
from tests.factories import claim, submit
from tests.ledger.clock import Clock
from tests.support import wait_until

ME, OTHER = "me", "other"
STALE_SECONDS = 0.3
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SILENT = Sql("UPDATE job_order SET last_updated = last_updated - 3600000 WHERE status = 'wip'")
GONE = Sql("UPDATE manager SET last_beat = last_beat - 3600000")


@pytest.fixture
def clock(database: Database) -> Iterator[Clock]:
    simulated = Clock(database)
    simulated.set(NOON)
    yield simulated
    simulated.close()


def test_nothing_is_taken_from_who_lives(database: Database, clock: Clock) -> None:
    seen = clock.opened(database.url)
    ledger.register(seen, ManagerCard(OTHER, "h", 1, "0", "database", 1, None, 100, 300))
    order_id = submit(seen)
    (order,) = claim(seen, OTHER)
    watch = ClockWatch(seen)
    rescuer = Rescuer(seen, ME, Leases(30.0), STALE_SECONDS, watch.is_steady)
    rescuer.tick()
    clock.set(NOON + timedelta(hours=1))
    rescuer.tick()
    assert ledger.find(seen, order_id).status == WIP, "its next beat is still to come"
    assert ledger.renew(seen, OTHER, [Beat(order.id, order.lease)]) == []
    wait_until(lambda: watch.is_steady(STALE_SECONDS))
    rescuer.tick()
    assert ledger.find(seen, order_id).status == WIP
    seen.write(lambda transaction: transaction.run(SILENT))
    seen.write(lambda transaction: transaction.run(GONE))
    rescuer.tick()
    assert ledger.find(seen, order_id).status == PENDING, "a silence without such an excuse"
    seen.close()


@pytest.mark.parametrize(
    ("by", "is_steady"),
    [(timedelta(hours=-1), True), (timedelta(milliseconds=500), True), (timedelta(2), False)],
)
def test_only_a_clock_that_was_set_ahead_counts(
    database: Database, clock: Clock, by: timedelta, is_steady: bool
) -> None:
    seen = clock.opened(database.url)
    watch = ClockWatch(seen)
    assert watch.is_steady(3_600)
    clock.set(NOON + by)
    with capture_logs() as lines:
        assert watch.is_steady(3_600) is is_steady
        assert watch.is_steady(3_600) is is_steady
    assert len(lines) == (0 if is_steady else 1), "told once"
    seen.close()

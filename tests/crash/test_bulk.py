"""A manager dies in the middle of an action on all orders that match: another goes on."""

from __future__ import annotations

import ledger
from database import Sql
from ledger import bulk
from ledger.matching import Filter
from ledger.orders import NewOrder, Request
from models import CANCELLED, PENDING
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.support import wait_until

MANY = 8_000
OTHERS = 10
# Queues that no manager serves: the test is about cancelling orders, not about running them.
NOBODYS, ANOTHERS = "nobodys", "anothers"
OPEN = Sql("SELECT state FROM bulk_action WHERE ended_on IS NULL")


def test_a_manager_killed_in_the_middle_is_followed_by_another(site: Site) -> None:
    for queue, count in ((NOBODYS, MANY), (ANOTHERS, OTHERS)):
        ids = ledger.new_ids(count)
        orders = [NewOrder(order_id, "crash.mark", "{}", queue=queue) for order_id in ids]
        ledger.submit(site.database, [Request(orders)])
    asked = bulk.create(
        site.database,
        ledger.new_id(),
        bulk.CANCEL,
        Filter(queue=NOBODYS),
        dry_run=False,
        owner="",
    )
    (first,) = site.managers(1, queues="served")
    wait_until(lambda: bulk.find(site.database, asked.id).done > 0, "some are cancelled")
    first.kill()
    killed = bulk.find(site.database, asked.id)
    assert 0 < killed.done < MANY == killed.total
    site.managers(2, queues="served")
    wait_until(lambda: not site.database.read(OPEN), "the action is done", timeout=60)

    after = bulk.find(site.database, asked.id)
    assert (after.state, after.total, after.done) == (bulk.DONE, MANY, MANY)
    assert counted(site.database) == {CANCELLED: MANY, PENDING: OTHERS} == levels(site.database)
    told = [one for event in events(site.database, "cancelled") for one in event.ids]
    assert len(told) == len(set(told)) == MANY

"""A manager that beats but takes no work ends by itself, so that another can take its place."""

from __future__ import annotations

import ledger
from models import COMPLETED, PENDING
from tests.crash.harness import Site
from tests.manager.vain import claims_take_again, no_claim_takes


def test_one_that_claims_in_vain_ends_non_zero_and_loses_nothing(site: Site) -> None:
    (manager,) = site.managers(1, max_workers=2)
    gate = site.gate()
    running = site.submit("deaf", gate)
    site.began(running)
    no_claim_takes(site.database)
    waiting = site.submit("mark")
    manager.says("building the loop anew")
    manager.says("manager stopping")
    gate.open()
    assert manager.wait() == 1
    assert "work waits and none is taken" in manager.output
    assert site.order(running).status == COMPLETED
    assert site.order(waiting).status == PENDING
    row = next(row for row in ledger.managers(site.database) if row.pid == manager.pid)
    assert row.state == "stopped"

    claims_take_again(site.database)
    site.managers(1)
    site.ends(waiting)

"""The rescuer: takes back the work of managers that are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from database import Database
from ledger import Rescued, rescue, rescue_own
from logs import MOST_TOLD
from manager.leases import Leases
from models import FAILED

log = structlog.get_logger("capataz.manager")


class Rescuer:
    """Any number of managers may rescue at once: each order is taken back by one of them. From
    itself each takes only what it holds no more."""

    def __init__(
        self,
        database: Database,
        manager: str,
        leases: Leases,
        stale_seconds: float,
        is_steady: Callable[[float], bool],
    ) -> None:
        """`is_steady(seconds)` tells whether this manager's own beats came through for so long."""
        self._database = database
        self._manager = manager
        self._leases = leases
        self._stale_seconds = stale_seconds
        self._is_steady = is_steady

    def tick(self) -> None:
        """Rescue all that is stale now. Raises `DatabaseAway`.

        Not just after an outage: the others were as silent as this one, and live.
        """
        if not self._is_steady(self._stale_seconds):
            return
        stale_ms = round(self._stale_seconds * 1000)
        while rescued := rescue(self._database, stale_ms, self._manager):
            log.warning("orders taken back: no sign of life from who held them", **told(rescued))
        # Asked before the record is read: what is claimed or written meanwhile is not stale.
        held = {(assignment.id, assignment.order.lease) for assignment in self._leases.held()}
        if rescued := rescue_own(self._database, stale_ms, self._manager, held):
            log.error("own orders taken back: they had been given up", **told(rescued))


def told(rescued: Sequence[Rescued]) -> dict[str, Any]:
    """What a line of the log says of a batch of orders that were taken back."""
    return {
        "orders": len(rescued),
        "failed": sum(order.status == FAILED for order in rescued),
        "jobs": [order.id for order in rescued[:MOST_TOLD]],
        "holders": sorted({order.manager or "unknown" for order in rescued})[:MOST_TOLD],
    }

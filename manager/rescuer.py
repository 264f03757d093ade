"""The rescuer: takes back the work of managers that are gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from database import Database
from ledger import Rescued, rescue
from models import FAILED

# So many ids at most stand in a line of the log; the events have them all.
SHOWN = 5

log = structlog.get_logger("capataz.manager")


class Rescuer:
    """Any number of managers may rescue at once: each order is taken back by one of them, and by
    none from itself."""

    def __init__(
        self,
        database: Database,
        manager: str,
        stale_seconds: float,
        is_steady: Callable[[float], bool],
    ) -> None:
        """`is_steady(seconds)` tells whether this manager's own beats came through for so long."""
        self._database = database
        self._manager = manager
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


def told(rescued: Sequence[Rescued]) -> dict[str, Any]:
    """What a line of the log says of a batch of orders that were taken back."""
    return {
        "orders": len(rescued),
        "failed": sum(order.status == FAILED for order in rescued),
        "jobs": [order.id for order in rescued[:SHOWN]],
        "holders": sorted({order.manager or "unknown" for order in rescued})[:SHOWN],
    }

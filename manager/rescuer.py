"""The rescuer: takes back the work of managers that are gone."""

from __future__ import annotations

import structlog

from database import Database
from ledger import rescue

log = structlog.get_logger("capataz.manager")


class Rescuer:
    """Any number of managers may rescue at once: each order is taken back by one of them."""

    def __init__(self, database: Database, stale_seconds: float) -> None:
        self._database = database
        self._stale_ms = round(stale_seconds * 1000)

    def tick(self) -> None:
        """Rescue all that is stale now. Raises `DatabaseAway`."""
        while rescued := rescue(self._database, self._stale_ms):
            for order in rescued:
                log.warning(
                    "order taken back: no sign of life from its holder",
                    job=order.id,
                    holder=order.manager,
                    now=order.status,
                )

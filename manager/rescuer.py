"""The rescuer: takes back the work of managers that are gone."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from database import Database
from ledger import rescue

log = structlog.get_logger("capataz.manager")


class Rescuer:
    """Any number of managers may rescue at once: each order is taken back by one of them."""

    def __init__(
        self, database: Database, stale_seconds: float, is_steady: Callable[[float], bool]
    ) -> None:
        """`is_steady(seconds)` tells whether this manager's own beats came through for so long."""
        self._database = database
        self._stale_seconds = stale_seconds
        self._is_steady = is_steady

    def tick(self) -> None:
        """Rescue all that is stale now. Raises `DatabaseAway`.

        Not just after an outage: the others were as silent as this one, and live.
        """
        if not self._is_steady(self._stale_seconds):
            return
        while rescued := rescue(self._database, round(self._stale_seconds * 1000)):
            for order in rescued:
                log.warning(
                    "order taken back: no sign of life from its holder",
                    job=order.id,
                    holder=order.manager,
                    now=order.status,
                )

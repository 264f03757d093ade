"""The failure detector: takes back at once the work of managers that are proven dead."""

from __future__ import annotations

import time

import structlog

from database import Database
from ledger import Suspect, bury, rescue_orphans, suspects

# Long enough for who lives and only lost its session to take its lock again.
APART_SECONDS = 1.9

log = structlog.get_logger("capataz.manager")


class FailureDetector:
    """A manager is dead when two looks, some seconds apart, find its lock free under one epoch."""

    def __init__(self, database: Database, manager: str) -> None:
        self._database = database
        self._manager = manager
        self._since: dict[Suspect, float] = {}

    def tick(self) -> None:
        """Look once. Raises `DatabaseAway`."""
        now = time.monotonic()
        # Emptied first: what was seen before an outage says nothing about after it.
        since, self._since = self._since, {}
        found = suspects(self._database, self._manager)
        self._since = {suspect: since.get(suspect, now) for suspect in found}
        for suspect, first in self._since.items():
            if now - first >= APART_SECONDS:
                self._take_over(suspect)

    def _take_over(self, dead: Suspect) -> None:
        while rescued := rescue_orphans(self._database, dead):
            for order in rescued:
                log.warning(
                    "order taken back: its holder is dead",
                    job=order.id,
                    holder=order.manager,
                    now=order.status,
                )
        if bury(self._database, dead):
            log.warning("a manager is dead", lost=dead.id)

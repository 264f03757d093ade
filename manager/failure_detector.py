"""The failure detector: takes back at once the work of managers that are proven dead."""

from __future__ import annotations

import time

import structlog

from database import Database
from ledger import Suspect, bury, rescue_orphans, suspects
from manager.rescuer import told

# Long enough for who lives and only lost its session to take its lock again. Where nobody can look
# at the process it has longer, since it may be cut off: but the work of the dead is to be pending
# again within 5 s.
APART_SECONDS = 1.9
ELSEWHERE_SECONDS = 2.9

log = structlog.get_logger("capataz.manager")


class FailureDetector:
    """A manager is dead when two looks, some seconds apart, find its lock free under one epoch,
    and its process, if it can be seen from here, gone."""

    def __init__(self, database: Database, manager: str) -> None:
        self._database = database
        self._manager = manager
        self._since: dict[Suspect, float] = {}

    def tick(self) -> None:
        """Look once. Raises `DatabaseAway`."""
        before = time.monotonic()
        # Emptied first: what was seen before an outage says nothing about after it.
        since, self._since = self._since, {}
        found = suspects(self._database, self._manager)
        # A look may take long: the first counts from its end, the second from its begin.
        after = time.monotonic()
        self._since = {suspect: since.get(suspect, after) for suspect in found}
        for suspect, first in self._since.items():
            if before - first >= (APART_SECONDS if suspect.gone else ELSEWHERE_SECONDS):
                self._take_over(suspect)

    def _take_over(self, dead: Suspect) -> None:
        while rescued := rescue_orphans(self._database, dead):
            log.warning("orders taken back: who held them is dead", **told(rescued))
        if bury(self._database, dead):
            log.warning("a manager is dead", lost=dead.id)

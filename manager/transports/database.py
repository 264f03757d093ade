"""The database as its own transport: a claim walks the lanes, and hints say when to look."""

from __future__ import annotations

from collections.abc import Sequence

from database import Database
from ledger import Claimed, claim, waiting_queues
from manager.lanes import Lanes
from manager.pace import Pace


class Polling:
    """A `Source` that needs nothing but the database."""

    def __init__(
        self,
        database: Database,
        manager: str,
        lanes: Lanes,
        pace: Pace,
        served: Sequence[str] = (),
    ) -> None:
        """`served` are the queues to claim from, none given means all that there are."""
        self._database = database
        self._manager = manager
        self._lanes = lanes
        self._pace = pace
        self._served = tuple(served)

    def take(self, free: int, ahead: int) -> list[Claimed]:
        lanes = self._lanes.next(self.queues())
        if not lanes:
            return []
        short = self._pace.short() if ahead else ()
        claimed = claim(self._database, self._manager, lanes, free, ahead, short)
        self._lanes.took(claimed)
        return claimed

    def rest(self) -> None:
        """It holds nothing."""

    def queues(self) -> Sequence[str]:
        """The queues to take from, just now. Raises `DatabaseAway`."""
        return self._served or waiting_queues(self._database)

"""The bookkeeper: folds the tallies, so that reading them costs the same for ever."""

from __future__ import annotations

from database import Database
from ledger import fold


class Bookkeeper:
    """Any number of managers may fold at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tick(self) -> None:
        """Fold once. Raises `DatabaseAway`."""
        fold(self._database)

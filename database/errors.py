"""What the door to the database raises."""

from __future__ import annotations


class DatabaseAway(Exception):
    """The database cannot be reached or written just now.

    `nothing_done` says that nothing was committed for sure; else that is not known.
    """

    def __init__(self, reason: str, *, nothing_done: bool = False) -> None:
        super().__init__(reason)
        self.nothing_done = nothing_done


class RowsLocked(DatabaseAway):
    """Somebody keeps rows locked for longer than this transaction would wait."""


class SchemaMissing(DatabaseAway):
    """The tables are not there: the database was never migrated."""

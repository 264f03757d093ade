"""Where a claimer takes orders from."""

from __future__ import annotations

from typing import Protocol

from ledger import Claimed


class Source(Protocol):
    """Takes orders, in whatever way it learns of them; each under a lease by the database."""

    def take(self, free: int, ahead: int) -> list[Claimed]:
        """Claim up to `free` orders of any type, and `ahead` more of types that are known to be
        short. Raises `DatabaseAway`; what was claimed then is in the database."""

    def rest(self) -> None:
        """No more are wanted until the next `take`."""

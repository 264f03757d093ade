"""What an audit looks for, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from database import Sql

# So many things at most are named by one finding; the next audit finds the rest.
MOST: Final = 50

HOUR_MS: Final = 3_600_000
# Later than anybody plans.
AGE_MS: Final = 10 * 365 * 24 * HOUR_MS
# By so much a time may lie ahead without anything being wrong.
SLACK_MS: Final = 60_000


class Finding(NamedTuple):
    """Something that should not be: which rule says so, where, and how much of it was repaired.

    `orders` says that `where` are the ids of orders; else they are names. `is_new` says that an
    audit before this did not find all of it already.
    """

    rule: str
    what: str
    remedy: str
    where: tuple[str, ...]
    repaired: int
    orders: bool
    is_new: bool = True

    @property
    def is_open(self) -> bool:
        """Whether something of it is left as it was found."""
        return self.repaired < len(self.where)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must not be, and what to do about it.

    `repair` mends one that was found, if it is still so: its only parameter is `:key`, and it
    answers a row if it did. None leaves it to people, whom `remedy` tells what to do.
    """

    name: str
    what: str
    remedy: str
    repair: Sql | None = None


MENDED: Final = "nothing: it was repaired"
REPORT: Final = "please report it with the events and the logs of about that time"

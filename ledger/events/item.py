"""One event of the history, and how a row that stands for many is unfolded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from database import Row
from ledger.ids import text_id

# What is of every order's daily life, and told by its row. An index leaves these out word for word.
COMMON: Final = ("submitted", "claimed", "completed", "retrieved")
RARE: Final = f"kind NOT IN {COMMON}"

# SQLite, once it has statistics, would rather search another index that ends with the id.
BY_ID: Final = "event NOT INDEXED"
BY_RARE: Final = "event INDEXED BY event_rare"

# Above every place in a row, and after every moment.
ANY_PLACE: Final = 2**31
NEVER: Final = 2**62

_ID_BYTES = 16

# Names of lists in an event's data, and what one entry of each is called.
_SINGULAR = {
    "workers": "worker",
    "managers": "manager",
    "attempts": "attempt",
    "outcomes": "outcome",
    "leases": "lease",
    "delays": "delay_ms",
    "schedules": "schedule",
    "fires": "fire",
}


class Position(NamedTuple):
    """Behind which item a page ended: of the rows, and of what an order's own row tells."""

    row: int
    place: int = 0
    at: int = NEVER
    rank: int = 0


class EventItem(NamedTuple):
    """Something that happened, at `at` (ms), to one order or worker, or to none.

    `row` and `place` say where the event table has it; what an order's own row tells has row 0
    and a `rank` among its equals. `type` and `owner` are None also for an order that was deleted.
    """

    row: int
    place: int
    at: int
    kind: str
    order_id: str | None
    manager: str | None
    worker: str | None
    data: dict[str, Any]
    type: str | None = None
    rank: int = 0
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for; None is any. `since` in ms."""

    kinds: tuple[str, ...] = ()
    order_id: str | None = None
    worker: str | None = None
    manager: str | None = None
    since: int | None = None

    @property
    def may_be_rare(self) -> bool:
        """Whether events other than of every order's daily life are asked for."""
        return not self.kinds or not set(self.kinds) <= set(COMMON)

    def lets_through(self, item: EventItem) -> bool:
        """Whether this is one of them."""
        return (
            (not self.kinds or item.kind in self.kinds)
            and self.order_id in (None, item.order_id)
            and self.worker in (None, item.worker)
            and self.manager in (None, item.manager)
            and (self.since is None or item.at >= self.since)
        )


def unfold(row: Row, below: int = ANY_PLACE, only: str | None = None) -> Iterator[EventItem]:
    """The items of a row, the last place first, below a place; perhaps those of one order only."""
    event_id, at, kind, n, packed, manager, text = row
    data = json.loads(text) if text else {}
    packed = bytes(packed) if packed is not None else b""
    # An event of workers has their names in place of orders.
    count = n or len(data.get("workers", ())) or 1
    lists = {k for k, v in data.items() if isinstance(v, list) and len(v) == count}
    if not n and "workers" not in data:
        lists = set()
    for place in range(min(count, below) - 1, -1, -1):
        order_id = text_id(packed[_ID_BYTES * place : _ID_BYTES * (place + 1)]) if n else None
        if only not in (None, order_id):
            continue
        own = {
            (_SINGULAR.get(name, name) if name in lists else name): (
                value[place] if name in lists else value
            )
            for name, value in data.items()
        }
        if kind == "claimed":
            own.setdefault("lease", 1)
        whose = own.pop("manager", None) or manager
        yield EventItem(event_id, place, at, kind, order_id, whose, own.pop("worker", None), own)

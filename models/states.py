"""The states of an order, and the one table of legal moves between them."""

from __future__ import annotations

from typing import Final

PENDING: Final = "pending"
WIP: Final = "wip"
COMPLETED: Final = "completed"
RETRIEVED: Final = "retrieved"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STATUSES: Final = (PENDING, WIP, COMPLETED, RETRIEVED, FAILED, CANCELLED)
ENDED: Final = (COMPLETED, RETRIEVED, FAILED, CANCELLED)

# Before it exists and after it is deleted an order has no status.
NOTHING: Final = ""

MOVES: Final[dict[str, frozenset[str]]] = {
    NOTHING: frozenset({PENDING}),
    PENDING: frozenset({WIP, CANCELLED}),
    WIP: frozenset({PENDING, COMPLETED, FAILED, CANCELLED}),
    COMPLETED: frozenset({RETRIEVED, NOTHING}),
    RETRIEVED: frozenset({NOTHING}),
    FAILED: frozenset({PENDING, NOTHING}),
    CANCELLED: frozenset({PENDING, NOTHING}),
}

# Stored as numbers because claims walk them in order.
PRIORITIES: Final = {"high": 1, "normal": 2, "low": 3}
PRIORITY_NAMES: Final = {number: name for name, number in PRIORITIES.items()}

# The row of `queue` that stands for all of them when everything is paused.
ALL_QUEUES: Final = "*"

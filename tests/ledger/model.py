"""The life of orders in plain Python, to be held beside the ledger: no SQL, no time."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from ledger import MAX_CRASHES, Claimed, Ending
from models import CANCELLED, COMPLETED, ENDED, FAILED, MOVES, NOTHING, PENDING, RETRIEVED, WIP

LATE: Final = "late_result_discarded"
# Which status each kind of event brings.
BRINGS = {
    "submitted": PENDING,
    "claimed": WIP,
    "completed": COMPLETED,
    "failed": FAILED,
    "crashed": FAILED,
    "again": PENDING,
    "rescued": PENDING,
    "retried": PENDING,
    "cancelled": CANCELLED,
    "retrieved": RETRIEVED,
    "deleted": NOTHING,
}


class NoDelay(random.Random):
    """Chance by which every back-off is over at once."""

    def uniform(self, a: float, b: float) -> float:
        return a


def report(order: Claimed, how: str) -> Ending:
    """How a holder reports, naming its lease in all that it says."""
    told = json.dumps([order.id, order.lease, how])
    base = (order.id, order.lease, order.type, order.queue, order.attempts)
    times: dict[str, Any] = {"worker": "w", "run_ms": 5, "age_ms": 6}
    left = order.attempts - order.crashes < order.max_attempts
    match how:
        case "completed":
            return Ending(*base, COMPLETED, "succeeded", result=told, **times)
        case "handed back":
            return Ending(*base, PENDING, how, uncounted=True, kind="again")
        case "given back":
            return Ending(*base, PENDING, how, uncounted=True, kind="again", **times)
        case "retry" if left:
            return Ending(*base, PENDING, how, error=told, delay_ms=0, kind="again", **times)
        case "crashed":
            return Ending(*base, FAILED, how, error=told, crashed=True, kind="failed", **times)
        case _:
            return Ending(*base, FAILED, "error", error=told, **times)


@dataclass
class ModelOrder:
    """What the ledger should say of one order."""

    max_attempts: int
    status: str = PENDING
    lease: int = 0
    attempts: int = 0
    crashes: int = 0
    manager: str | None = None
    stale: bool = False
    began: bool = False
    # What was recorded as the outcome of its last run: its result or its error.
    result: str | None = None
    error: str | None = None
    # The leases whose attempts are in the history.
    history: list[int] = field(default_factory=list)
    # How often it came to each status, and how often a report on it came too late.
    came: Counter[str] = field(default_factory=Counter)
    late: int = 0

    def go(self, status: str) -> None:
        assert status in MOVES[self.status], f"{self.status} to {status} is no legal move"
        self.status = status
        self.came[status] += 1

    def is_held_under(self, lease: int) -> bool:
        return self.status == WIP and self.lease == lease

    def claim(self, manager: str) -> None:
        self.go(WIP)
        self.lease += 1
        self.attempts += 1
        self.manager, self.stale, self.began = manager, False, False

    def finish(self, ending: Ending) -> bool:
        """Whether the report is taken."""
        if not self.is_held_under(ending.lease):
            self.late += 1
            return False
        self.go(ending.to)
        self.attempts -= ending.uncounted
        self.crashes += ending.crashed
        self.result = ending.result
        self.error = None if ending.to == PENDING else ending.error
        if ending.to == PENDING:
            self.manager = None
            if ending.keeps_history:
                self.history.append(self.lease)
        return True

    def rescue(self) -> None:
        self.crashes += 1
        if self.crashes < MAX_CRASHES:
            self.go(PENDING)
            self.manager = None
            self.history.append(self.lease)
        else:
            self.go(FAILED)
            self.error = "Crashed"

    def cancel(self) -> bool:
        if self.status not in (PENDING, WIP):
            return False
        self.go(CANCELLED)
        return True

    def retry(self) -> bool:
        if self.status not in (FAILED, CANCELLED):
            return False
        self.go(PENDING)
        if self.manager is not None:
            self.history.append(self.lease)
        self.manager = self.error = None
        self.attempts = self.crashes = 0
        return True

    def retrieve(self) -> bool:
        if self.status != COMPLETED:
            return False
        self.go(RETRIEVED)
        return True

    def delete(self) -> bool:
        if self.status not in ENDED:
            return False
        self.go(NOTHING)
        self.history.clear()
        return True

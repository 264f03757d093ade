"""What goes into the ledger and what comes out: plain values, no behaviour."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.ids import text_id
from models import PENDING


class LedgerError(Exception):
    """A move that the ledger refuses; the text is for whoever asked for it."""


class UnknownOrder(LedgerError):
    """There is no order with this id: it never was, or it was deleted after its retention."""


class MoveRefused(LedgerError):
    """The order's status does not allow the move."""

    def __init__(self, move: str, status: str, allowed: tuple[str, ...]) -> None:
        super().__init__(
            f"cannot {move} an order that is {status}; possible while it is {_either(allowed)}"
        )
        self.status = status


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


class KeyReused(LedgerError):
    """The idempotency key was used for another request; send a new key for a new request."""


class KeySpent(LedgerError):
    """The key's order was deleted since; send a new key to submit it again."""


@dataclass(slots=True)
class NewOrder:
    """An order about to be submitted. `run_at` is absolute (ms), else `delay_ms` from now.

    A past `run_at` counts as now, but for the order of a schedule.
    """

    id: str
    type: str
    payload: str
    queue: str = "default"
    priority: int = 2
    max_attempts: int = 3
    timeout_ms: int = 3_600_000
    max_silence_ms: int | None = None
    run_at: int | None = None
    delay_ms: int = 0
    owner: str = ""
    tags: str | None = None
    callback_url: str | None = None
    copy_of: str | None = None
    schedule: str | None = None
    project: str | None = None
    sandbox: str | None = None


@dataclass(slots=True)
class Request:
    """What one client submits at once: all of its orders or none."""

    orders: list[NewOrder]
    owner: str = ""
    key: str | None = None
    digest: bytes = b""


@dataclass(slots=True)
class Receipt:
    """The answer to a `Request`: the ids in its order, or why it was refused."""

    ids: list[str]
    replayed: bool = False
    refusal: LedgerError | None = None


class Lane(NamedTuple):
    """One stretch of the queues that a claim walks: what became due at least `age_ms` ago."""

    queue: str
    priority: int
    age_ms: int = 0


class Claimed(NamedTuple):
    """A claimed order: all that a worker needs, and the lease to report under."""

    id: str
    type: str
    queue: str
    priority: int
    payload: str
    lease: int
    attempts: int
    crashes: int
    max_attempts: int
    timeout_ms: int
    max_silence_ms: int | None
    run_at: int
    quarantined: int = 0


class Beat(NamedTuple):
    """A sign of life for one order; `age_ms` since its function began, None before that."""

    id: str
    lease: int
    worker: str | None = None
    age_ms: int | None = None
    progress: str | None = None


class LostLease(NamedTuple):
    """A lease that a renewal did not find: `status` is what the order is now ('' when gone)."""

    id: str
    lease: int
    status: str


@dataclass(slots=True)
class Ending:
    """How a holder lets go of an order: a result, a failure, a retry, or handing it back.

    `to` is the status it moves to; towards `pending`, `delay_ms` from now is when it is due again
    (None keeps its place in line) and `uncounted` gives the attempt back. `spent` of `allowed`
    attempts were used, or of crashes if it crashed: None when that is not known. `ended` is when
    the attempt did (monotonic seconds), `age_ms` how long before that its function began.
    """

    id: str
    lease: int
    type: str
    queue: str
    number: int
    to: str
    outcome: str
    worker: str | None = None
    result: str | None = None
    error: str | None = None
    run_ms: int | None = None
    age_ms: int | None = None
    delay_ms: int | None = None
    crashed: bool = False
    uncounted: bool = False
    spent: int | None = None
    allowed: int | None = None
    kind: str = field(default="")
    ended: float | None = None

    @property
    def ago_ms(self) -> int:
        """Milliseconds since the attempt ended: outcomes may wait long to be written."""
        return 0 if self.ended is None else int((time.monotonic() - self.ended) * 1000)

    @property
    def keeps_history(self) -> bool:
        """Whether the attempt needs a row of its own because the order's row will be reused."""
        return self.to == PENDING and (self.error is not None or self.age_ms is not None)


class Rescued(NamedTuple):
    """An order taken back from a holder that is gone."""

    id: str
    lease: int
    manager: str | None
    status: str


class OrderRow(NamedTuple):
    """A whole order, columns as in the table, times in ms, JSON as text."""

    id: str
    type: str
    queue: str
    status: str
    priority: int
    payload: str
    result: str | None
    error: str | None
    progress: str | None
    attempts: int
    crashes: int
    max_attempts: int
    lease: int
    timeout_ms: int
    max_silence_ms: int | None
    manager: str | None
    worker: str | None
    run_at: int
    created_on: int
    started_on: int | None
    last_updated: int
    completed_on: int | None
    retrieved_on: int | None
    run_ms: int | None
    owner: str
    tags: str | None
    callback_url: str | None
    copy_of: str | None
    schedule: str | None
    project: str | None
    sandbox: str | None


COLUMNS = ", ".join(OrderRow._fields)


def order_row(row: tuple[Any, ...]) -> OrderRow:
    """An `OrderRow` from the columns in the order of `COLUMNS`."""
    found = OrderRow._make(row)
    if isinstance(found.id, bytes):
        copy_of = found.copy_of
        return found._replace(
            id=text_id(found.id), copy_of=text_id(copy_of) if copy_of is not None else None
        )
    return found

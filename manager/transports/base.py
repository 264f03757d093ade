"""What a manager needs of a broker that carries ids of orders.

The database stays the only truth. A message says that an order waits, and every id is claimed in
the database: one that is lost, comes twice, late or out of order does no harm. So a broker need not
be trusted with anything but speed and fairness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class TransportDown(Exception):
    """The broker cannot be reached, or did not answer, just now; the text says why."""


class Parcel(NamedTuple):
    """An order's id on its way to a broker; of a smaller `priority` number goes first (1 to 3)."""

    id: str
    queue: str
    priority: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was received and is neither acked nor given back yet.

    `id` is the order's, None when the message holds none: such is poison. `again` tells that it
    went out before. `handle` is the broker's own.
    """

    id: str | None
    queue: str
    again: bool = False
    handle: Any = field(default=None, compare=False, repr=False)


class Depth(NamedTuple):
    """What a broker says of one queue of ours: messages that wait, those that are out with a
    manager and not acked, those that went out more than once, who receives, and how long the
    oldest has been there (ms). None: not told."""

    queue: str
    ready: int
    unacked: int | None
    redelivered: int | None
    consumers: int | None
    waits_ms: int | None = None


class Transport(Protocol):
    """A connection to a broker. It connects by itself, and again when the connection is lost.

    Safe between threads. Queues are named as orders name them. Every method but `close` raises
    `TransportDown`, within a few seconds, when the broker is away; then what was received and not
    acked comes again, to whoever asks first.
    """

    name: str

    def publish(self, parcels: Sequence[Parcel]) -> None:
        """Have the broker keep these, as durably as it can; it has said so when this returns.

        When it raises, some may be there all the same. Queues are made where they are missing.
        """

    def receive(self, queues: Sequence[str], most: int, seconds: float) -> list[Delivery]:
        """At most so many messages of these queues, in the order of their priorities; when there
        is none, the first to come, waited for so long.

        No more is taken from the broker, for longer than the call, than what is answered here:
        what one manager has no worker for is there for the others.
        """

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """They are done with."""

    def nack(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        """They are to go out again, to anybody, not before so many seconds where the broker can
        wait."""

    def refuse(self, deliveries: Sequence[Delivery]) -> None:
        """They are poison: never again, but kept aside for people to look at, where the broker
        can."""

    def depths(self, queues: Sequence[str]) -> list[Depth]:
        """What there is of each of these queues; one that is missing is empty."""

    def close(self) -> None:
        """Leave the broker; what was received and not acked comes again. Safe twice, while others
        are in a call (which ends, at the latest, with `TransportDown`), and before the first."""

"""How orders come to managers by one transport, with every part stepped or watched by the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ledger
from database import Database
from ledger import Claimed, Request
from manager.lanes import Lanes
from manager.pace import Pace
from manager.relay import Relay
from manager.transports.base import Delivery, Parcel, Transport
from manager.transports.database import Polling
from manager.transports.post import Post
from manager.transports.source import Source
from models import PRIORITIES
from tests.factories import new_order
from tests.servers.cut import Wire
from tests.support import wait_until
from tests.transports.brokers import Broker

DATABASE = "database"
NORMAL = PRIORITIES["normal"]


class Road:
    """One queue, its relay if it needs one, and as many managers as are asked for."""

    def __init__(self, database: Database, broker: Broker | None, queue: str) -> None:
        self.database = database
        self.broker = broker
        self.queue = queue
        self._made: list[Transport] = []
        self._posts: list[Post] = []
        self._relays: list[Relay] = []

    def submit(self, count: int = 1, **columns: object) -> list[str]:
        orders = [new_order(**({"queue": self.queue} | columns)) for _ in range(count)]
        return ledger.submit(self.database, [Request(orders)])[0].ids

    def connect(self, wire: Wire | None = None) -> Transport:
        assert self.broker is not None
        self._made.append(
            self.broker.connect(wire.url(self.broker.url) if wire else self.broker.url)
        )
        return self._made[-1]

    def source(self, name: str, wire: Wire | None = None, poll_seconds: float = 30.0) -> Source:
        """What the claimer of the manager of that name has. It polls so rarely that what it gets,
        while the broker is there, comes by that."""
        polling = Polling(self.database, name, Lanes(), pace := Pace(), (self.queue,))
        if self.broker is None:
            return polling
        post = Post(
            self.database,
            name,
            transport=self.connect(wire),
            polling=polling,
            pace=pace,
            poll_seconds=poll_seconds,
            served=(self.queue,),
        )
        self._posts.append(post)
        post.start()
        # Its first look says whether the broker is there; nothing waits yet.
        wait_until(lambda: post.take(1, 0) == [] and post.is_up, "the broker answers")
        post.rest()
        return post

    def relay(self, name: str = "relay", wire: Wire | None = None) -> Callable[[], float]:
        """One step of a relay, whatever it would wait for."""
        if self.broker is None:
            return lambda: 0.0
        relay = Relay(self.database, name, self.connect(wire), poll_seconds=0.05)
        self._relays.append(relay)

        def step() -> float:
            time.sleep(max(0.0, relay._step_at - time.monotonic()))
            return relay.step()

        return step

    def publish(self, ids: Sequence[str]) -> None:
        """Beside the relay, as a test would have it; in a database there is nothing to do."""
        if self.broker is not None:
            self.connect().publish([Parcel(one, self.queue, NORMAL) for one in ids])

    def lose(self, count: int) -> None:
        """Have so many messages vanish."""
        if self.broker is not None:
            transport = self.connect()
            transport.ack(received(transport, self.queue, count))

    def close(self) -> None:
        for relay in self._relays:
            relay.stop()
        for post in self._posts:
            post.close()
        for transport in self._made:
            transport.close()


def received(transport: Transport, queue: str, count: int) -> list[Delivery]:
    """So many messages, when they have come."""
    found: list[Delivery] = []

    def there() -> bool:
        found.extend(transport.receive([queue], count - len(found), 0.2))
        return len(found) == count

    wait_until(there, f"{count} messages come")
    return found


def taken(
    source: Source,
    count: int,
    free: int | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    timeout: float = 20.0,
) -> list[Claimed]:
    """So many orders, when they have come, claimed for so many free workers at a time."""
    found: list[Claimed] = []

    def there() -> bool:
        meanwhile()
        room = count - len(found)
        found.extend(source.take(min(room, free or room), 0))
        return len(found) >= count

    wait_until(there, f"{count} orders come", timeout)
    source.rest()
    return found


def names(orders: Sequence[Claimed]) -> list[str]:
    return [order.id for order in orders]

"""Ids of orders over RabbitMQ: a durable queue for each of ours, which knows the priorities.

A queue is classic: what it keeps is a copy of what the database knows, so that there is nothing to
be gained by having it on several disks.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import pika
from pika.spec import Basic

from ledger.ids import parse_id
from manager.transports.base import Delivery, Depth, Parcel
from manager.transports.rabbit_link import CALL_SECONDS, SLACK_SECONDS, Line, RabbitLink
from models import PRIORITIES

PREFIX: Final = "capataz.work."
DEAD: Final = "capataz.dead"
PERSISTENT: Final = 2
LOWEST: Final = max(PRIORITIES.values())

PROPERTIES: Final = {
    priority: pika.BasicProperties(delivery_mode=PERSISTENT, priority=LOWEST - priority)
    for priority in PRIORITIES.values()
}

# After the last message to arrive, so long for more; but less where nothing waited at first.
SETTLE_SECONDS = 0.002
LATE_SECONDS = 0.0005
WAITING_SECONDS = 0.005
# A queue that nobody looked at for so long is removed; the next order there makes it anew.
UNUSED_MS = 24 * 3_600_000
MOST_DEAD = 10_000

WORK_ARGUMENTS: Final = {
    "x-max-priority": LOWEST - min(PRIORITIES.values()),
    "x-expires": UNUSED_MS,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD,
}
DEAD_ARGUMENTS: Final = {"x-max-length": MOST_DEAD}


class RabbitMQ:
    """See `Transport`."""

    name = "rabbitmq"

    def __init__(self, url: str, name: str) -> None:
        """`name` is how the server's own tools call the connection."""
        self._link = RabbitLink(url, name)
        self._publisher = _Publisher(self._link)
        self._receiving = asyncio.Lock()
        self._known: set[str] = set()
        self._epoch = 0

    def publish(self, parcels: Sequence[Parcel]) -> None:
        if parcels:
            self._link.call(lambda: self._publish(parcels))

    def receive(self, queues: Sequence[str], most: int, seconds: float) -> list[Delivery]:
        if not queues or most <= 0:
            return []
        return self._link.call(
            lambda: self._receive(queues, most, seconds), seconds + SLACK_SECONDS + CALL_SECONDS
        )

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(deliveries, "basic_ack")

    def nack(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:  # noqa: ARG002
        self._settle(deliveries, "basic_nack", requeue=True)

    def refuse(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(deliveries, "basic_nack", requeue=False)

    def depths(self, queues: Sequence[str]) -> list[Depth]:
        return self._link.call(lambda: self._depths(queues))

    def close(self) -> None:
        self._link.close()

    async def _publish(self, parcels: Sequence[Parcel]) -> None:
        await self._declare({parcel.queue for parcel in parcels})
        returned = await self._publisher.send(parcels)
        if returned:
            # Somebody has deleted their queue.
            self._known -= {parcel.queue for parcel in returned}
            await self._declare({parcel.queue for parcel in returned})
            await self._publisher.send(returned)

    async def _receive(self, queues: Sequence[str], most: int, seconds: float) -> list[Delivery]:
        async with self._receiving:
            await self._declare(queues)
            line = await self._link.line("receive", _nothing)
            taking = _Taking(line, queues, most)
            try:
                await taking.begin()
                await taking.wait(seconds)
            finally:
                # Cancelled too, as by a close: nobody else would give them back.
                if line.is_open:
                    await taking.end()
            return taking.taken()

    async def _declare(self, queues: Sequence[str] | set[str]) -> None:
        """Make queues that are missing, as far as this connection does not know them."""
        if self._epoch != self._link.epoch:
            self._epoch = self._link.epoch
            self._known.clear()
        missing = [queue for queue in queues if queue not in self._known]
        if not missing:
            return
        line = await self._link.line("declare", _nothing)
        if not self._known:
            await line.ask(
                line.channel.queue_declare, queue=DEAD, durable=True, arguments=DEAD_ARGUMENTS
            )
        for queue in missing:
            await _declare_work(line, queue)
            self._known.add(queue)

    async def _depths(self, queues: Sequence[str]) -> list[Depth]:
        await self._declare(())
        line = await self._link.line("declare", _nothing)
        found = []
        for queue in queues:
            answer = await _declare_work(line, queue)
            found.append(Depth(queue, answer.message_count, None, None, answer.consumer_count))
        return found

    def _settle(self, deliveries: Sequence[Delivery], method: str, **given: Any) -> None:
        if not deliveries:
            return

        async def settle() -> None:
            lines: dict[int, tuple[Line, list[int]]] = {}
            for delivery in deliveries:
                line, tag = delivery.handle
                lines.setdefault(id(line), (line, []))[1].append(tag)
            for line, tags in lines.values():
                # Of a connection that is gone, the broker has them back already.
                if line.is_open:
                    _settle(line, getattr(line.channel, method), tags, given)

        self._link.call(settle)


def _settle(line: Line, say: Callable[..., None], tags: list[int], given: dict[str, Any]) -> None:
    """Tell the broker of each; with one word, where nobody else has an earlier one."""
    line.out.difference_update(tags)
    last = max(tags)
    if all(tag > last for tag in line.out):
        say(last, multiple=True, **given)
        return
    for tag in tags:
        say(tag, **given)


class _Publisher:
    """Sends batches on a channel of its own and waits until each message is confirmed."""

    def __init__(self, link: RabbitLink) -> None:
        self._link = link
        self._turn = asyncio.Lock()
        self._sent = 0
        self._unconfirmed: set[int] = set()
        self._refused = 0
        self._returned: list[str] = []
        self._done: asyncio.Future[Any] | None = None

    async def send(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Those that had no queue to go to. Raises `TransportDown`."""
        async with self._turn:
            line = await self._link.line("publish", self._prepare)
            self._returned.clear()
            self._refused = 0
            self._done = line.future()
            for parcel in parcels:
                line.channel.basic_publish(
                    exchange="",
                    routing_key=PREFIX + parcel.queue,
                    body=parcel.id.encode(),
                    properties=PROPERTIES[parcel.priority],
                    mandatory=True,
                )
                self._sent += 1
                self._unconfirmed.add(self._sent)
            await self._done
            if self._refused:
                raise OSError(f"the broker did not keep {self._refused} messages")
            missing = set(self._returned)
            return [parcel for parcel in parcels if parcel.id in missing]

    async def _prepare(self, line: Line) -> None:
        self._sent = 0
        self._unconfirmed.clear()
        line.channel.add_on_return_callback(self._came_back)
        await line.ask(line.channel.confirm_delivery, ack_nack_callback=self._confirmed)

    def _confirmed(self, frame: Any) -> None:
        last, answer = frame.method.delivery_tag, frame.method
        tags = {tag for tag in self._unconfirmed if tag <= last} if answer.multiple else {last}
        if isinstance(answer, Basic.Nack):
            self._refused += len(tags)
        self._unconfirmed -= tags
        if not self._unconfirmed and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _came_back(self, _channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        self._returned.append(body.decode())


class _Taking:
    """One taking of messages: consumers on each queue, for as long as it lasts."""

    def __init__(self, line: Line, queues: Sequence[str], most: int) -> None:
        self._line = line
        self._queues = queues
        self._most = most
        self._tags: list[str] = []
        self._found: list[tuple[int, int, Delivery]] = []
        self._numbers = itertools.count()
        self._arrived = asyncio.Event()

    async def begin(self) -> None:
        """From here on messages arrive."""
        channel = self._line.channel
        # Not all of them from each queue: most would go back at once.
        share = min(self._most, math.ceil(2 * self._most / len(self._queues)))
        await self._line.ask(channel.basic_qos, prefetch_count=share)
        for queue in self._queues:
            tag = f"capataz-{next(_tags)}"
            self._tags.append(tag)
            await self._line.ask(
                channel.basic_consume,
                queue=PREFIX + queue,
                on_message_callback=self._hearer(queue),
                consumer_tag=tag,
            )

    async def wait(self, seconds: float) -> None:
        """Until there are enough, or none has come for so long, or no more came with the first."""
        lost = self._line.future()
        clock = asyncio.get_running_loop().time
        began, patience = clock(), seconds
        while len(self._found) < self._most:
            arrived = asyncio.ensure_future(self._arrived.wait())
            await asyncio.wait(
                (arrived, lost), timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            arrived.cancel()
            if lost.done():
                lost.result()
            if not self._arrived.is_set():
                break
            self._arrived.clear()
            waited = clock() - began
            patience = SETTLE_SECONDS if waited < WAITING_SECONDS else LATE_SECONDS
        lost.cancel()

    async def end(self) -> None:
        """No more arrive; those that are too many go back, to their place in the queue."""
        for tag in self._tags:
            await self._line.ask(self._line.channel.basic_cancel, consumer_tag=tag)
        self._found.sort(key=lambda one: one[:2])
        for _, _, delivery in self._found[self._most :]:
            self._line.out.discard(delivery.handle[1])
            self._line.channel.basic_nack(delivery.handle[1], requeue=True)

    def taken(self) -> list[Delivery]:
        return [delivery for _, _, delivery in self._found[: self._most]]

    def _hearer(self, queue: str) -> Any:
        def hear(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            delivery = Delivery(
                as_id(body), queue, method.redelivered, (self._line, method.delivery_tag)
            )
            self._line.out.add(method.delivery_tag)
            rank = LOWEST - (properties.priority or 0)
            self._found.append((rank, next(self._numbers), delivery))
            self._arrived.set()

        return hear


_tags = itertools.count(1)


def as_id(body: bytes) -> str | None:
    """The id in a message; None when it is something else."""
    try:
        return parse_id(body.decode("ascii"))
    except UnicodeDecodeError:
        return None


async def _declare_work(line: Line, queue: str) -> Any:
    frame = await line.ask(
        line.channel.queue_declare,
        queue=PREFIX + queue,
        durable=True,
        arguments=WORK_ARGUMENTS,
    )
    return frame.method


async def _nothing(_line: Line) -> None:
    """A channel that needs no preparation."""

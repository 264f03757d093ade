"""Ids of orders over NATS JetStream.

One stream on file storage keeps the ids of all queues until they are taken, and each queue has a
durable consumer that all managers pull from, so that each id goes to one of them at a time. What
was given out and not decided within `ACK_SECONDS`, because its manager died, is given out again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import NoStreamResponseError, NotFoundError

from ledger import parse_id
from ledger.broker_sight import BrokerLook, QueueLoad
from manager.transports.base import Delivery, Notice
from manager.transports.nats_link import CALL_SECONDS, SLACK_SECONDS, NatsLink, NoConsumer, Puller
from manager.transports.nats_look import look_at
from manager.transports.nats_streams import ensure_consumer, ensure_stream

STREAM: Final = "CAPATAZ_ORDERS"
SUBJECTS: Final = "capataz.orders"
# No stream keeps what is said here: whoever does not hear it looks a little later.
WAKE: Final = "capataz.wake"
MESSAGE_ID: Final = "Nats-Msg-Id"

ACK_SECONDS = 30.0
# A mark that comes again within that time is kept once.
DUPLICATE_SECONDS = 30.0
# An id that nobody took for so long is put in again by the relay, if it is still due.
KEPT_SECONDS = 3_600.0
AT_ONCE = 200


class NatsTransport:
    """A transport on a link that is its own; safe between threads."""

    name = "nats"

    def __init__(self, link: NatsLink, ack_seconds: float = ACK_SECONDS) -> None:
        """`ack_seconds` counts for consumers that are made here."""
        self._link = link
        self._ack_seconds = ack_seconds
        self._pullers: dict[str, Puller] = {}
        self._known: set[str] = set()
        self._epoch = -1
        self._turn = 0
        self._heard = asyncio.Event()
        self._ears: Subscription | None = None

    def publish(self, notices: Sequence[Notice]) -> None:
        async def send() -> None:
            await self._set_up()
            try:
                for queue in {one.queue for one in notices}:
                    await self._queue(queue)
                for start in range(0, len(notices), AT_ONCE):
                    await asyncio.gather(*map(self._send, notices[start : start + AT_ONCE]))
                await self._link.client.publish(WAKE)
            except (NotFoundError, NoStreamResponseError):
                self._forget()
                raise

        self._link.call(send, CALL_SECONDS + len(notices) / AT_ONCE)

    def receive(self, queues: Sequence[str], most: int, seconds: float) -> list[Delivery]:
        async def pull() -> list[Msg]:
            await self._set_up()
            try:
                pullers = [await self._queue(queue) for queue in self._in_turn(queues)]
                return await self._wait(pullers, most, seconds)
            except (NoConsumer, NotFoundError):
                self._forget()
                raise

        if not queues or most < 1:
            return []
        patience = seconds + CALL_SECONDS + SLACK_SECONDS * len(queues)
        found = [_delivery(one) for one in self._link.call(pull, patience)]
        # What is no id was published by somebody else: nobody can do anything with it.
        strange = [one for one in found if not one.order]
        if strange:
            self.term(strange)
        return [one for one in found if one.order]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._link.call(lambda: _each(one.handle.ack() for one in deliveries))

    def nack(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        self._link.call(lambda: _each(one.handle.nak(seconds) for one in deliveries))

    def in_progress(self, deliveries: Sequence[Delivery]) -> None:
        """Whoever has them still works on them: they are given out again that much later."""
        self._link.call(lambda: _each(one.handle.in_progress() for one in deliveries))

    def term(self, deliveries: Sequence[Delivery]) -> None:
        """They are of no use: they are never given out again."""
        self._link.call(lambda: _each(one.handle.term() for one in deliveries))

    def look(self, queues: Sequence[str]) -> BrokerLook:
        async def ask() -> list[QueueLoad]:
            await self._set_up()
            try:
                for queue in queues:
                    await self._queue(queue)
                names = {queue: (_subject(queue), _consumer(queue)) for queue in queues}
                return [
                    await look_at(self._link.stream, queue, STREAM, subject, consumer)
                    for queue, (subject, consumer) in names.items()
                ]
            except NotFoundError:
                self._forget()
                raise

        return BrokerLook(self._link.call(ask, CALL_SECONDS + len(queues)))

    def close(self) -> None:
        self._link.close()

    async def _wait(self, pullers: Sequence[Puller], most: int, seconds: float) -> list[Msg]:
        """What is there; when nothing is, what comes first.

        A request that waits at the server would be answered for each queue, whether there is room
        for it or not. What is published is heard without taking it, and then asked for.
        """
        until = asyncio.get_running_loop().time() + seconds
        while True:
            self._heard.clear()
            found = await _pull(pullers, most)
            left = until - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._heard.wait(), left)

    async def _hear(self, _message: Msg) -> None:
        self._heard.set()

    async def _send(self, notice: Notice) -> None:
        body = json.dumps({"id": notice.order}).encode()
        headers = {MESSAGE_ID: notice.mark}
        await self._link.stream.publish(_subject(notice.queue), body, headers=headers)

    def _in_turn(self, queues: Sequence[str]) -> list[str]:
        self._turn = (self._turn + 1) % len(queues)
        return [*queues[self._turn :], *queues[: self._turn]]

    def _forget(self) -> None:
        """Something is missing: look again at everything."""
        self._epoch = -1

    async def _set_up(self) -> None:
        epoch = self._link.epoch
        if epoch == self._epoch:
            return
        await ensure_stream(
            self._link.stream,
            api.StreamConfig(
                name=STREAM,
                subjects=[f"{SUBJECTS}.*"],
                retention=api.RetentionPolicy.WORK_QUEUE,
                storage=api.StorageType.FILE,
                max_age=KEPT_SECONDS,
                duplicate_window=DUPLICATE_SECONDS,
            ),
        )
        if self._ears is None:
            self._ears = await self._link.client.subscribe(WAKE, cb=self._hear)
        self._known.clear()
        self._epoch = epoch

    async def _queue(self, queue: str) -> Puller:
        """The consumer of a queue, made if it is missing."""
        name = _consumer(queue)
        if queue not in self._known:
            await ensure_consumer(
                self._link.stream,
                STREAM,
                api.ConsumerConfig(
                    durable_name=name,
                    filter_subject=_subject(queue),
                    ack_policy=api.AckPolicy.EXPLICIT,
                    ack_wait=self._ack_seconds,
                    max_deliver=-1,
                    max_ack_pending=10_000,
                ),
            )
            self._known.add(queue)
        if queue not in self._pullers:
            self._pullers[queue] = Puller(self._link.client, STREAM, name)
        return self._pullers[queue]


async def _pull(pullers: Sequence[Puller], most: int) -> list[Msg]:
    """What is there, no queue before all others had their share."""
    found: list[Msg] = []
    share = -(-most // len(pullers))
    for puller in pullers:
        if len(found) < most:
            found += await puller.pull(min(share, most - len(found)))
    for puller in pullers:  # what some had too little of, others may have
        if found and len(found) < most and len(pullers) > 1:
            found += await puller.pull(most - len(found))
    return found


def _subject(queue: str) -> str:
    return f"{SUBJECTS}.{_token(queue)}"


def _consumer(queue: str) -> str:
    return f"orders-{_token(queue)}"


def _token(queue: str) -> str:
    """A queue's name, in which a dot may stand anywhere, as one step of a subject."""
    return queue.replace(".", "~")


def _delivery(one: Msg) -> Delivery:
    try:
        order = parse_id(json.loads(one.data)["id"])
    except (ValueError, TypeError, KeyError):
        order = None
    queue = one.subject.removeprefix(f"{SUBJECTS}.").replace("~", ".")
    return Delivery(order or "", queue, one.metadata.num_delivered, one)


async def _each(ones: Iterable[Any]) -> None:
    await asyncio.gather(*ones)

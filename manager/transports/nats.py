"""Ids of orders over NATS JetStream.

One stream on file storage keeps the ids until they are taken. Each queue and priority has a
subject, and on it a durable consumer that all managers pull from, so that each id goes to one of
them at a time. What was given out and not decided in time, because its manager died, is given out
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js.errors import NoStreamResponseError, NotFoundError

from ledger import parse_id
from manager.transports.base import Delivery, Depth, Parcel
from manager.transports.nats_aside import ensure_aside, put_aside
from manager.transports.nats_link import CALL_SECONDS, SLACK_SECONDS, NatsLink, NoConsumer, Puller
from manager.transports.nats_look import look_at
from manager.transports.nats_streams import ensure_consumer, ensure_stream
from models import PRIORITIES

STREAM: Final = "CAPATAZ_ORDERS"
SUBJECTS: Final = "capataz.orders"
# No stream keeps what is said here: whoever does not hear it looks a little later.
WAKE: Final = "capataz.wake"
MESSAGE_ID: Final = "Nats-Msg-Id"

ACK_SECONDS = 30.0
# A message that was sent twice, because it was not known whether it had arrived, is kept once.
DUPLICATE_SECONDS = 120.0
# An id that nobody took for so long is put in again, if it is still due.
KEPT_SECONDS = 3_600.0
AT_ONCE = 200
# Between two looks while nothing is heard, and just after something was.
LOOK_SECONDS = 1.0
SOON_SECONDS = 0.05
_MOST_UNSURE = 10_000


class Lane(NamedTuple):
    """One priority of one queue."""

    priority: int
    queue: str

    @property
    def subject(self) -> str:
        return f"{SUBJECTS}.{self.priority}.{_token(self.queue)}"

    @property
    def consumer(self) -> str:
        return f"orders-{self.priority}-{_token(self.queue)}"

    @classmethod
    def of(cls, subject: str) -> Self:
        """The lane with this subject."""
        priority, token = subject.removeprefix(f"{SUBJECTS}.").split(".")
        return cls(int(priority), token.replace("~", "."))


class NatsTransport:
    """A transport on a link that is its own; safe between threads."""

    name = "nats"

    def __init__(self, link: NatsLink, ack_seconds: float = ACK_SECONDS) -> None:
        """What is neither acked nor given back goes out again after `ack_seconds`, as far as the
        consumers are made here."""
        self._link = link
        self._ack_seconds = ack_seconds
        self._pullers: dict[Lane, Puller] = {}
        self._made: set[Lane] = set()
        self._epoch = -1
        self._turn = 0
        self._heard = asyncio.Event()
        self._ears: Subscription | None = None
        self._marks = (f"{secrets.token_hex(6)}-{number}" for number in itertools.count())
        self._unsure: dict[Parcel, str] = {}

    def publish(self, parcels: Sequence[Parcel]) -> None:
        async def send() -> None:
            await self._set_up()
            with self._forgetting():
                for lane in {Lane(one.priority, one.queue) for one in parcels}:
                    await self._puller(lane)
                for start in range(0, len(parcels), AT_ONCE):
                    await _each(map(self._send, parcels[start : start + AT_ONCE]))
            await self._link.client.publish(WAKE)

        if parcels:
            self._link.call(send, CALL_SECONDS + len(parcels) / AT_ONCE)

    def receive(self, queues: Sequence[str], most: int, seconds: float) -> list[Delivery]:
        async def pull() -> list[Msg]:
            await self._set_up()
            with self._forgetting():
                return await self._wait(queues, most, seconds)

        if not queues or most < 1:
            return []
        found = self._link.call(pull, seconds + CALL_SECONDS + SLACK_SECONDS * len(queues))
        return [_delivery(one) for one in found]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._say(deliveries, lambda message: message.ack())

    def nack(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        async def give_back() -> None:
            await _each(self._nak(one.handle, seconds) for one in deliveries)
            if not seconds:
                await self._link.client.publish(WAKE)

        if deliveries:
            self._link.call(give_back)

    def in_progress(self, deliveries: Sequence[Delivery]) -> None:
        """They are still worked on: they go out again that much later."""
        self._say(deliveries, lambda message: message.in_progress())

    def refuse(self, deliveries: Sequence[Delivery]) -> None:
        async def refuse() -> None:
            await self._set_up()
            for one in deliveries:
                await put_aside(self._link, one.handle, "It holds no id of an order.", one.queue)

        if deliveries:
            self._link.call(refuse)

    def depths(self, queues: Sequence[str]) -> list[Depth]:
        async def ask() -> list[Depth]:
            await self._set_up()
            with self._forgetting():
                lanes = await self._lanes_with_messages(queues)
                return [await self._depth(queue, lanes) for queue in queues]

        return self._link.call(ask, CALL_SECONDS + len(queues)) if queues else []

    def close(self) -> None:
        self._link.close()

    def _say(self, deliveries: Sequence[Delivery], word: Callable[[Msg], Any]) -> None:
        if deliveries:
            self._link.call(lambda: _each(word(one.handle) for one in deliveries))

    async def _nak(self, message: Msg, seconds: float) -> None:
        """Until the server says that it is done: who is woken then must find the message."""
        delay = f' {{"delay": {round(seconds * 1e9)}}}' if seconds else ""
        await self._link.client.request(
            message.reply, f"-NAK{delay}".encode(), timeout=CALL_SECONDS
        )

    async def _send(self, parcel: Parcel) -> None:
        subject = Lane(parcel.priority, parcel.queue).subject
        body = json.dumps({"id": parcel.id}).encode()
        mark = self._unsure.get(parcel) or next(self._marks)
        if len(self._unsure) < _MOST_UNSURE:
            self._unsure[parcel] = mark
        await self._link.stream.publish(subject, body, headers={MESSAGE_ID: mark})
        self._unsure.pop(parcel, None)

    async def _wait(self, queues: Sequence[str], most: int, seconds: float) -> list[Msg]:
        """What is there; when nothing is, what comes first.

        A request that waits at the server would be answered for each lane, whether there is room
        for it or not. So it is only heard that there is something, and then asked for.
        """
        until = asyncio.get_running_loop().time() + seconds
        patience = LOOK_SECONDS
        while True:
            self._heard.clear()
            found = await self._pull(queues, most)
            left = until - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            try:
                await asyncio.wait_for(self._heard.wait(), min(left, patience))
                # Who has it may give it back, and what was given back may not be out yet.
                patience = SOON_SECONDS
            except TimeoutError:
                patience = min(2 * patience, LOOK_SECONDS)

    async def _pull(self, queues: Sequence[str], most: int) -> list[Msg]:
        """What is there: higher priorities first, and none of a queue before others had a share."""
        self._turn += 1
        there = await self._lanes_with_messages(queues)
        found: list[Msg] = []
        for priority in sorted({lane.priority for lane in there}):
            lanes = [lane for lane in there if lane.priority == priority]
            turn = self._turn % len(lanes)
            lanes = lanes[turn:] + lanes[:turn]
            share = -(-(most - len(found)) // len(lanes))
            for limit in (share, most) if len(lanes) > 1 else (most,):
                for lane in lanes:
                    room = min(limit, most - len(found))
                    if room > 0:
                        found += await (await self._puller(lane)).pull(room)
        return found

    async def _lanes_with_messages(self, queues: Sequence[str]) -> list[Lane]:
        """Those of these queues, in their order; what is in them may be with somebody."""
        info = await self._link.stream.stream_info(STREAM, subjects_filter=f"{SUBJECTS}.>")
        there = set(info.state.subjects or ())
        lanes = [Lane(p, queue) for queue in queues for p in sorted(PRIORITIES.values())]
        return [lane for lane in lanes if lane.subject in there]

    async def _depth(self, queue: str, there: Sequence[Lane]) -> Depth:
        lanes = [lane for lane in there if lane.queue == queue]
        for lane in lanes:
            await self._puller(lane)
        seen = [
            await look_at(self._link.stream, queue, STREAM, lane.subject, lane.consumer)
            for lane in lanes
        ]
        return Depth(
            queue,
            sum(one.depth for one in seen),
            sum(one.unacknowledged or 0 for one in seen),
            sum(one.redelivered or 0 for one in seen),
            None,
            max((one.waits_ms for one in seen if one.waits_ms is not None), default=None),
        )

    async def _hear(self, _message: Msg) -> None:
        self._heard.set()

    @contextlib.contextmanager
    def _forgetting(self) -> Any:
        """When something is missing, all is looked at again by whoever comes next."""
        try:
            yield
        except (NoConsumer, NotFoundError, NoStreamResponseError):
            self._epoch = -1
            raise

    async def _set_up(self) -> None:
        epoch = self._link.epoch
        if epoch == self._epoch:
            return
        await ensure_stream(
            self._link.stream,
            api.StreamConfig(
                name=STREAM,
                subjects=[f"{SUBJECTS}.*.*"],
                retention=api.RetentionPolicy.WORK_QUEUE,
                storage=api.StorageType.FILE,
                max_age=KEPT_SECONDS,
                duplicate_window=DUPLICATE_SECONDS,
            ),
        )
        await ensure_aside(self._link.stream)
        if self._ears is None:
            self._ears = await self._link.client.subscribe(WAKE, cb=self._hear)
        self._made.clear()
        self._epoch = epoch

    async def _puller(self, lane: Lane) -> Puller:
        """Of the lane's consumer, which is made if it is missing."""
        if lane not in self._made:
            await ensure_consumer(
                self._link.stream,
                STREAM,
                api.ConsumerConfig(
                    durable_name=lane.consumer,
                    filter_subject=lane.subject,
                    ack_policy=api.AckPolicy.EXPLICIT,
                    ack_wait=self._ack_seconds,
                    max_deliver=-1,
                    max_ack_pending=10_000,
                ),
            )
            self._made.add(lane)
        if lane not in self._pullers:
            self._pullers[lane] = Puller(self._link.client, STREAM, lane.consumer)
        return self._pullers[lane]


def _token(queue: str) -> str:
    """A queue's name, in which a dot may stand anywhere, as one step of a subject."""
    return queue.replace(".", "~")


def _delivery(one: Msg) -> Delivery:
    try:
        order = parse_id(json.loads(one.data)["id"])
    except (ValueError, TypeError, KeyError, AttributeError):
        order = None
    return Delivery(order, Lane.of(one.subject).queue, one.metadata.num_delivered > 1, one)


async def _each(ones: Iterable[Any]) -> None:
    await asyncio.gather(*ones)

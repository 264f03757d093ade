"""Programs that speak only to a broker: they publish messages, hear answers, and look at what is
kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import pika
import pika.exceptions
from nats.aio.subscription import Subscription

import exact_json
from manager.intake import rabbitmq
from manager.intake.nats import MESSAGE_ID, REPLY_TO, STREAM, SUBJECT
from manager.transports.base import TransportDown
from manager.transports.nats_aside import CORRELATION, REASON, REFUSED, REFUSED_STREAM
from manager.transports.nats_link import NatsLink


class NatsProducer:
    """A connection of its own to NATS."""

    def __init__(self, url: str) -> None:
        self._link = NatsLink(url, "a producer")
        self._answers: Subscription | None = None

    def publish(self, body: object, key: str | None = None, *, answered: bool = False) -> bool:
        """Publish a message and wait until it is kept; whether it was not one already."""

        async def send() -> bool:
            headers = {MESSAGE_ID: key} if key is not None else {}
            if answered:
                headers[REPLY_TO] = await self._inbox()
            data = body if isinstance(body, bytes) else exact_json.dumps(body).encode()
            done = await self._link.stream.publish(SUBJECT, data, headers=headers or None)
            return not done.duplicate

        return self._link.call(send)

    def heard(self, seconds: float = 2.0) -> tuple[str, Any]:
        """The next answer: what it answers, and its document."""

        async def hear() -> tuple[str, Any]:
            assert self._answers is not None
            message = await self._answers.next_msg(seconds)
            return (message.headers or {})[CORRELATION], json.loads(message.data)

        return self._link.call(hear)

    def is_ready(self) -> bool:
        """Whether there is where to publish."""
        try:
            return self.waiting() >= 0
        except TransportDown:
            return False

    def hears(self) -> bool:
        """Whether an answer is there."""
        return self._answers is not None and self._answers.pending_msgs > 0

    def waiting(self, stream: str = STREAM) -> int:
        """How many messages wait, or are with somebody; or of another stream."""

        async def look() -> int:
            return int((await self._link.stream.stream_info(stream)).state.messages)

        return self._link.call(look)

    def set_aside(self) -> int:
        """How many messages were put aside."""
        return self.waiting(REFUSED_STREAM)

    def refused(self) -> tuple[str, bytes]:
        """The last message that was put aside: the reason, and its body."""
        headers, body = self.put_aside()
        return headers[REASON], body

    def put_aside(self) -> tuple[Mapping[str, str], bytes]:
        """The same with all headers."""

        async def look() -> tuple[Mapping[str, str], bytes]:
            found = await self._link.stream.get_last_msg(REFUSED_STREAM, REFUSED)
            return found.headers or {}, found.data or b""

        return self._link.call(look)

    def empty(self) -> None:
        """Nothing is there any more."""

        async def delete() -> None:
            for info in await self._link.stream.streams_info():
                await self._link.stream.delete_stream(info.config.name or "")

        self._link.call(delete)

    async def _inbox(self) -> str:
        if self._answers is None:
            self._answers = await self._link.client.subscribe(self._link.client.new_inbox())
        return self._answers.subject

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._link.close()


class RabbitProducer:
    """A connection of its own to RabbitMQ."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._inbox = ""

    def publish(self, body: object, key: str | None = None, *, answered: bool = False) -> bool:
        """Publish a message and wait until it is kept."""
        if answered and not self._inbox:
            self._inbox = self._channel.queue_declare("", exclusive=True).method.queue
        data = body if isinstance(body, bytes) else exact_json.dumps(body).encode()
        properties = pika.BasicProperties(
            delivery_mode=2, message_id=key, reply_to=self._inbox if answered else None
        )
        self._channel.basic_publish("", rabbitmq.QUEUE, data, properties, mandatory=True)
        return True

    def heard(self, seconds: float = 2.0) -> tuple[str, Any]:
        """The next answer: what it answers, and its document."""
        properties, body = self._get(self._inbox, seconds)
        return properties.correlation_id, json.loads(body)

    def is_ready(self) -> bool:
        """Whether there is where to publish."""
        scratch = self._connection.channel()
        try:
            return bool(scratch.queue_declare(rabbitmq.QUEUE, passive=True))
        except pika.exceptions.ChannelClosedByBroker:
            return False

    def hears(self) -> bool:
        """Whether an answer is there."""
        return self._count(self._inbox) > 0

    def waiting(self) -> int:
        """How many messages wait that nobody has."""
        return self._count(rabbitmq.QUEUE)

    def set_aside(self) -> int:
        """How many messages were put aside."""
        return self._count(rabbitmq.REFUSED)

    def refused(self) -> tuple[str, bytes]:
        """The oldest message that was put aside: the reason, and its body."""
        properties, body = self._get(rabbitmq.REFUSED, 2.0)
        return properties.headers[rabbitmq.REASON], body

    def empty(self) -> None:
        """Nothing is there any more."""
        for queue in (rabbitmq.QUEUE, rabbitmq.REFUSED):
            self._channel.queue_delete(queue)

    def _get(self, queue: str, seconds: float) -> tuple[Any, bytes]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            method, properties, body = self._channel.basic_get(queue, auto_ack=True)
            if method is not None:
                return properties, body or b""
            time.sleep(0.01)
        raise AssertionError(f"nothing came to {queue}")

    def _count(self, queue: str) -> int:
        return int(self._channel.queue_declare(queue, passive=True).method.message_count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()


Producer = NatsProducer | RabbitProducer

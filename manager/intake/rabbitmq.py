"""Messages that ask for orders, over RabbitMQ.

Producers publish to the queue `capataz.submit` by the default exchange, with a `message_id`. The
queue is durable; messages that are to outlive the broker are persistent (`delivery_mode` 2). What
makes no order goes to the queue `capataz.refused`, with the reason in its headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import pika

import exact_json
from ledger.broker_sight import QueueLoad
from manager.intake.mailbox import Message, Refusal
from manager.transports.base import TransportDown
from manager.transports.rabbit_link import CALL_SECONDS, SLACK_SECONDS, Line, RabbitLink

QUEUE: Final = "capataz.submit"
REFUSED: Final = "capataz.refused"
MESSAGE_ID: Final = "message_id"
REASON: Final = "capataz-reason"
PERSISTENT: Final = 2

# Beyond so much the oldest of what was refused is dropped.
REFUSED_ARGUMENTS: Final = {"x-max-length-bytes": 256 << 20}
# So many messages are on their way to one manager at a time.
PREFETCH = 200
SETTLE_SECONDS = 0.002
MOST_TEXT = 1_000
_MISSING = "404 "


class RabbitMailbox:
    """A mailbox on a link that is its own."""

    via = "rabbitmq"

    def __init__(self, link: RabbitLink) -> None:
        self._link = link
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self._keeping = asyncio.Lock()
        self._kept: asyncio.Future[Any] | None = None

    def receive(self, most: int, seconds: float) -> list[Message]:
        return self._link.call(
            lambda: self._receive(most, seconds), seconds + SLACK_SECONDS + CALL_SECONDS
        )

    def answer(self, message: Message, document: dict[str, Any]) -> None:
        async def tell() -> None:
            line = await self._link.line("answers", _nothing)
            # One that nobody waits for any more is dropped by the broker.
            line.channel.basic_publish(
                exchange="",
                routing_key=message.reply_to,
                body=exact_json.dumps(document).encode(),
                properties=pika.BasicProperties(
                    content_type="application/json", correlation_id=_correlation(message)
                ),
            )

        # Nothing of ours: an answer is neither an order nor the id of one.
        if message.reply_to and not message.reply_to.startswith("capataz."):
            self._link.call(tell)

    def accept(self, messages: Sequence[Message]) -> None:
        async def ack() -> None:
            for message in messages:
                line, method, _ = message.handle
                # Of a connection that is gone, the broker has them back already.
                if line.is_open:
                    line.channel.basic_ack(method.delivery_tag)

        if messages:
            self._link.call(ack)

    def refuse(self, message: Message, refusal: Refusal) -> None:
        async def put_aside() -> None:
            line, method, properties = message.handle
            await self._keep(message.body, properties, refusal)
            if line.is_open:
                line.channel.basic_ack(method.delivery_tag)

        self._link.call(put_aside)

    def later(self, messages: Sequence[Message], seconds: float) -> None:
        def give_back() -> None:
            for message in messages:
                line, method, _ = message.handle
                if line.is_open:
                    line.channel.basic_nack(method.delivery_tag, requeue=True)

        async def wait() -> None:
            # The broker itself would give them out again at once.
            asyncio.get_running_loop().call_later(seconds, give_back)

        self._link.call(wait)

    def look(self) -> tuple[QueueLoad, QueueLoad]:
        """What waits to become orders, and what made none."""

        async def ask() -> tuple[QueueLoad, QueueLoad]:
            line = await self._link.line("look", _declare_all(self._link))
            found = []
            for queue in (QUEUE, REFUSED):
                answer = await line.ask(line.channel.queue_declare, queue=queue, passive=True)
                told = answer.method
                found.append(QueueLoad(queue, told.message_count, consumers=told.consumer_count))
            return found[0], found[1]

        return self._link.call(ask)

    def close(self) -> None:
        self._link.close()

    async def _receive(self, most: int, seconds: float) -> list[Message]:
        line = await self._link.line("submit", self._begin)
        lost = line.future()
        found: list[Message] = []
        patience = seconds
        try:
            while len(found) < most:
                arriving = asyncio.ensure_future(self._arrived.get())
                await asyncio.wait(
                    (arriving, lost), timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not arriving.done():
                    arriving.cancel()
                    break
                message = arriving.result()
                # What an earlier connection brought comes again by this one.
                if message.handle[0] is line:
                    found.append(message)
                    patience = SETTLE_SECONDS
            if lost.done() and not found:
                lost.result()
        finally:
            lost.cancel()
        return found

    async def _begin(self, line: Line) -> None:
        await _declare_all(self._link)(line)

        def hear(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            self._arrived.put_nowait(
                Message(
                    body,
                    properties.message_id,
                    MESSAGE_ID,
                    properties.reply_to,
                    (line, method, properties),
                )
            )

        await line.ask(line.channel.basic_qos, prefetch_count=PREFETCH)
        await line.ask(line.channel.basic_consume, queue=QUEUE, on_message_callback=hear)

    async def _keep(self, body: bytes, properties: Any, refusal: Refusal) -> None:
        """Put it where refused messages are, and wait until it is there."""
        async with self._keeping:
            line = await self._link.line("refused", self._prepare)
            self._kept = line.future()
            line.channel.basic_publish(
                exchange="",
                routing_key=REFUSED,
                body=body,
                properties=pika.BasicProperties(
                    delivery_mode=PERSISTENT,
                    content_type=properties.content_type,
                    message_id=properties.message_id,
                    headers={REASON: refusal.line()[:MOST_TEXT]},
                ),
            )
            if not await self._kept:
                raise TransportDown("RabbitMQ: a refused message was not kept")

    async def _prepare(self, line: Line) -> None:
        await _declare_all(self._link)(line)

        def confirmed(frame: Any) -> None:
            if self._kept is not None and not self._kept.done():
                self._kept.set_result(isinstance(frame.method, pika.spec.Basic.Ack))

        await line.ask(line.channel.confirm_delivery, ack_nack_callback=confirmed)


def _declare_all(link: RabbitLink) -> Any:
    """Prepares a line: both queues are there, made as we would where an operator has not."""

    async def prepare(line: Line) -> None:
        for queue, arguments in ((QUEUE, None), (REFUSED, REFUSED_ARGUMENTS)):
            try:
                # A question that closes its channel where the answer is no.
                scratch = await link.line(f"is there {queue}", _nothing)
                await scratch.ask(scratch.channel.queue_declare, queue=queue, passive=True)
            except TransportDown as error:
                if _MISSING not in str(error):
                    raise
                await line.ask(
                    line.channel.queue_declare, queue=queue, durable=True, arguments=arguments
                )

    return prepare


def _correlation(message: Message) -> str | None:
    properties = message.handle[2]
    given: str | None = properties.correlation_id or properties.message_id
    return given


async def _nothing(_line: Line) -> None:
    """A channel that needs no preparation."""

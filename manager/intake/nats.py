"""Messages that ask for orders, over NATS JetStream.

Producers publish to `capataz.submit`. The stream keeps what arrives in a file until a manager has
made an order of it; what makes none goes to `capataz.refused`, whose stream keeps it a month.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from nats.aio.msg import Msg
from nats.js import api

import exact_json
from ledger.broker_sight import QueueLoad
from manager.intake.mailbox import Message, Refusal
from manager.transports.nats_aside import (
    CORRELATION,
    REFUSED,
    REFUSED_STREAM,
    ensure_aside,
    header,
    put_aside,
)
from manager.transports.nats_link import CALL_SECONDS, SLACK_SECONDS, NatsLink, NoConsumer, Puller
from manager.transports.nats_look import look_at, oldest_ms
from manager.transports.nats_streams import ensure_consumer, ensure_stream

T = TypeVar("T")

SUBJECT: Final = "capataz.submit"
STREAM: Final = "CAPATAZ_SUBMIT"
CONSUMER: Final = "intake"

MESSAGE_ID: Final = "Nats-Msg-Id"
REPLY_TO: Final = "Reply-To"

# A manager that took messages and died: so long until another gets them.
ACK_SECONDS = 10.0
DUPLICATE_SECONDS = 120.0
# Where an answer may go: to no wildcard, nothing of the server's own, and nothing of ours.
_INBOX = re.compile(r"(?!\$)(?!capataz\.)[^\s*>]{1,250}")


class NatsMailbox:
    """A mailbox on a link that is its own."""

    via = "nats"

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._puller = Puller(link.client, STREAM, CONSUMER)
        self._epoch = -1

    def receive(self, most: int, seconds: float) -> list[Message]:
        async def pull() -> list[Msg]:
            await self._set_up()
            try:
                return await self._puller.pull(most, seconds)
            except NoConsumer:
                self._epoch = -1  # set up again by whoever comes next
                raise

        found = self._link.call(pull, seconds + 3 * SLACK_SECONDS + CALL_SECONDS)
        return [_message(one) for one in found]

    def answer(self, message: Message, document: dict[str, Any]) -> None:
        subject = message.reply_to
        if subject is None or not _INBOX.fullmatch(subject):
            return
        headers = {CORRELATION: header(message.key or "")}
        body = exact_json.dumps(document).encode()
        self._call(lambda: self._link.client.publish(subject, body, headers=headers))

    def accept(self, messages: Sequence[Message]) -> None:
        self._call(lambda: _each(message.handle.ack() for message in messages))

    def refuse(self, message: Message, refusal: Refusal) -> None:
        self._call(lambda: put_aside(self._link, message.handle, refusal.line(), message.key or ""))

    def later(self, messages: Sequence[Message], seconds: float) -> None:
        self._call(lambda: _each(message.handle.nak(seconds) for message in messages))

    def look(self) -> tuple[QueueLoad, QueueLoad]:
        """What waits to become orders, and what made none."""

        async def ask() -> tuple[QueueLoad, QueueLoad]:
            await self._set_up()
            stream = self._link.stream
            waiting = await look_at(stream, SUBJECT, STREAM, SUBJECT, CONSUMER)
            kept = (await stream.stream_info(REFUSED_STREAM)).state.messages
            age = await oldest_ms(stream, REFUSED_STREAM, REFUSED)
            return waiting, QueueLoad(REFUSED, kept, waits_ms=age)

        return self._call(ask)

    def close(self) -> None:
        self._link.close()

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._link.call(work)

    async def _set_up(self) -> None:
        """Look after each new connection whether all is there that is needed."""
        epoch = self._link.epoch
        if epoch == self._epoch:
            return
        stream = self._link.stream
        await ensure_stream(
            stream,
            api.StreamConfig(
                name=STREAM,
                subjects=[SUBJECT],
                retention=api.RetentionPolicy.WORK_QUEUE,
                storage=api.StorageType.FILE,
                duplicate_window=DUPLICATE_SECONDS,
            ),
        )
        await ensure_aside(stream)
        await ensure_consumer(
            stream,
            STREAM,
            api.ConsumerConfig(
                durable_name=CONSUMER,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ACK_SECONDS,
                max_deliver=-1,
                max_ack_pending=10_000,
            ),
        )
        self._epoch = epoch


async def _each(ones: Any) -> None:
    await asyncio.gather(*ones)


def _message(one: Msg) -> Message:
    headers = one.headers or {}
    metadata = one.metadata
    # Without an id of its producer's, its place in the stream names a message as well.
    place = f"{STREAM}:{metadata.sequence.stream}:{metadata.timestamp.isoformat()}"
    return Message(
        one.data,
        headers.get(MESSAGE_ID, place),
        MESSAGE_ID,
        headers.get(REPLY_TO),
        one,
    )

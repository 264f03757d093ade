"""A program that speaks only NATS: it publishes messages, hears answers, and looks at what is
kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from nats.aio.subscription import Subscription

import exact_json
from manager.intake.nats import MESSAGE_ID, REPLY_TO, STREAM, SUBJECT
from manager.transports.nats_aside import REFUSED, REFUSED_STREAM
from manager.transports.nats_link import NatsLink


class Producer:
    """A connection of its own."""

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

    def heard(self, seconds: float = 2.0) -> tuple[Mapping[str, str], Any]:
        """The next answer: its headers, and its document."""

        async def hear() -> tuple[Mapping[str, str], Any]:
            assert self._answers is not None
            message = await self._answers.next_msg(seconds)
            return message.headers or {}, json.loads(message.data)

        return self._link.call(hear)

    def waiting(self, stream: str = STREAM) -> int:
        """How many messages the stream keeps."""

        async def look() -> int:
            return int((await self._link.stream.stream_info(stream)).state.messages)

        return self._link.call(look)

    def refused(self) -> tuple[Mapping[str, str], bytes]:
        """The last message that was put aside: its headers and its body."""

        async def look() -> tuple[Mapping[str, str], bytes]:
            found = await self._link.stream.get_last_msg(REFUSED_STREAM, REFUSED)
            return found.headers or {}, found.data or b""

        return self._link.call(look)

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

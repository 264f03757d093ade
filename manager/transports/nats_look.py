"""What JetStream says of a consumer and its messages; only on the loop of a link."""

from __future__ import annotations

from datetime import UTC, datetime

from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from ledger.broker_sight import QueueLoad


async def look_at(
    stream: JetStreamContext, queue: str, name: str, subject: str, consumer: str
) -> QueueLoad:
    """The queue that this durable consumer makes of these messages of the stream."""
    info = await stream.consumer_info(name, consumer)
    unacknowledged = info.num_ack_pending or 0
    return QueueLoad(
        queue,
        info.num_pending or 0,
        unacknowledged,
        info.num_redelivered or 0,
        info.num_waiting or None,
        await oldest_ms(stream, name, subject),
    )


async def oldest_ms(stream: JetStreamContext, name: str, subject: str) -> int | None:
    """How long the oldest message with this subject has been there, None without any."""
    try:
        oldest = await stream.get_msg(name, seq=0, subject=subject, next=True)
    except NotFoundError:
        return None
    return _age_ms(oldest)


def _age_ms(message: api.RawStreamMsg) -> int | None:
    if message.time is None:
        return None
    return max(0, round((datetime.now(UTC) - message.time).total_seconds() * 1000))

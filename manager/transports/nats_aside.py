"""Messages of NATS that are of no use, put aside with the reason; only on the loop of a link.

They go to `capataz.refused`, whose stream keeps them for a month.
"""

from __future__ import annotations

import json
from typing import Final

from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext

from manager.transports.nats_link import NatsLink
from manager.transports.nats_streams import ensure_stream

REFUSED: Final = "capataz.refused"
REFUSED_STREAM: Final = "CAPATAZ_REFUSED"
REASON: Final = "Capataz-Reason"
SUBJECT: Final = "Capataz-Subject"
CORRELATION: Final = "Correlation-Id"
CUT: Final = "Capataz-Cut"

KEPT_SECONDS = 30 * 86_400.0
MOST_KEPT_BYTES = 256 << 20
DUPLICATE_SECONDS = 120.0
# Where a message leaves no room for the reason, its end is left out.
HEADER_ROOM = 4_096
MOST_TEXT = 1_000


async def ensure_aside(stream: JetStreamContext) -> None:
    """Make the stream that keeps them, if it is not there."""
    await ensure_stream(
        stream,
        api.StreamConfig(
            name=REFUSED_STREAM,
            subjects=[REFUSED],
            storage=api.StorageType.FILE,
            max_age=KEPT_SECONDS,
            max_bytes=MOST_KEPT_BYTES,
            duplicate_window=DUPLICATE_SECONDS,
        ),
    )


async def put_aside(link: NatsLink, message: Msg, reason: str, correlation: str) -> None:
    """Keep a message with the reason, and then take it out of its own stream for ever."""
    metadata = message.metadata
    headers = {
        REASON: header(reason),
        SUBJECT: message.subject,
        # Put aside twice, it is there once.
        "Nats-Msg-Id": f"{metadata.stream}-{metadata.timestamp.isoformat()}-"
        f"{metadata.sequence.stream}",
        CORRELATION: header(correlation),
    }
    body = message.data
    room = link.client.max_payload - HEADER_ROOM
    if len(body) > room:
        headers[CUT] = f"{len(body) - room} bytes"
        body = body[:room]
    await link.stream.publish(REFUSED, body, headers=headers)
    await message.term()


def header(text: str) -> str:
    """Text that a header can hold."""
    return json.dumps(text)[1:-1].replace('\\"', '"')[:MOST_TEXT]

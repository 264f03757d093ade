"""Streams and consumers of JetStream, made where they are missing; only on the loop of a link."""

from __future__ import annotations

from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError

# Of streams and consumers that are there, but not as they are wanted.
_NAME_IN_USE = 10058
_CONSUMER_EXISTS = (10013, 10148)


async def ensure_stream(stream: JetStreamContext, wanted: api.StreamConfig) -> None:
    """Make it if it is not there. What an operator has changed of it, such as its replicas or its
    limits, stays so."""
    assert wanted.name is not None
    try:
        await stream.stream_info(wanted.name)
    except NotFoundError:
        try:
            await stream.add_stream(wanted)
        except BadRequestError as error:
            if error.err_code != _NAME_IN_USE:  # else another manager was quicker
                raise


async def ensure_consumer(stream: JetStreamContext, name: str, wanted: api.ConsumerConfig) -> None:
    """The same for a durable consumer of the stream of that name."""
    assert wanted.durable_name is not None
    try:
        await stream.consumer_info(name, wanted.durable_name)
    except NotFoundError:
        try:
            await stream.add_consumer(name, wanted)
        except BadRequestError as error:
            if error.err_code not in _CONSUMER_EXISTS:
                raise

"""The connection to the broker that the settings name."""

from __future__ import annotations

from manager.transports.base import Transport
from settings import Settings


def connect(settings: Settings, name: str) -> Transport | None:
    """A connection that the broker's own tools call by `name`; None where the transport is the
    database. It is made when it is first used."""
    # Loaded only by those who use it.
    if settings.transport == "rabbitmq":
        from manager.transports.rabbitmq import RabbitMQ  # noqa: PLC0415

        return RabbitMQ(settings.broker_url, name)
    if settings.transport == "nats":
        from manager.transports.nats import NatsTransport  # noqa: PLC0415
        from manager.transports.nats_link import NatsLink  # noqa: PLC0415

        return NatsTransport(NatsLink(settings.broker_url, name))
    return None

"""Real brokers, each in the same few words, for the tests that all of them run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import pika

from manager.transports.base import Transport
from manager.transports.nats import NatsTransport
from manager.transports.nats_link import NatsLink
from manager.transports.rabbitmq import DEAD, PREFIX, RabbitMQ
from tests.servers.nats import Nats
from tests.servers.rabbitmq import RabbitServer, rabbitmq_url

ACK_SECONDS = 1.0
NAMES = ("rabbitmq", "nats")


@dataclass(frozen=True)
class Broker:
    """A broker that runs. `connect` takes its URL, or that of a wire to it; `post` puts any bytes
    where a queue's ids are; `aside` tells how many messages are kept for people to look at."""

    name: str
    url: str
    connect: Callable[[str], Transport]
    post: Callable[[str, bytes], None]
    aside: Callable[[], int]

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def queue(self) -> str:
        """A name that no other test uses."""
        return f"q-{secrets.token_hex(4)}"


Server = RabbitServer | Nats


def broker_at(name: str, url: str) -> Broker:
    """The broker of that kind at that place."""
    if name == "rabbitmq":
        return Broker(
            name, url, _rabbitmq, partial(_rabbitmq_post, url), partial(_rabbitmq_aside, url)
        )
    return Broker(name, url, _nats, partial(_nats_post, url), partial(_nats_aside, url))


@contextmanager
def running(name: str) -> Iterator[Broker]:
    """A broker for all tests that do not stop it."""
    if name == "rabbitmq":
        with rabbitmq_url() as url:
            yield broker_at(name, url)
    else:
        with Nats() as server:
            yield broker_at(name, server.url)


def _rabbitmq(url: str) -> Transport:
    return RabbitMQ(url, "a test")


def _nats(url: str) -> Transport:
    return NatsTransport(NatsLink(url, "a test"), ACK_SECONDS)


def _rabbitmq_post(url: str, queue: str, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().basic_publish("", PREFIX + queue, body)


def _rabbitmq_aside(url: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        answer = connection.channel().queue_declare(DEAD, passive=True)
        count: int = answer.method.message_count
        return count


def _nats_post(url: str, queue: str, body: bytes) -> None:
    link = NatsLink(url, "a stranger")

    async def publish() -> None:
        await link.stream.publish(f"capataz.orders.2.{queue}", body)

    link.call(publish)
    link.close()


def _nats_aside(url: str) -> int:
    link = NatsLink(url, "a stranger")

    async def count() -> int:
        info = await link.stream.stream_info("CAPATAZ_REFUSED")
        return int(info.state.messages)

    found = link.call(count)
    link.close()
    return found

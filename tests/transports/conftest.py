"""Each broker in turn, and connections to it that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from manager.transports.base import Transport
from tests.servers.cut import Wire
from tests.transports.brokers import NAMES, Broker

Connect = Callable[..., Transport]


@pytest.fixture(scope="session", params=NAMES)
def broker(request: pytest.FixtureRequest, brokers: Callable[[str], Broker]) -> Broker:
    """A broker that runs."""
    return brokers(request.param)


@pytest.fixture
def connect(broker: Broker) -> Iterator[Connect]:
    """Make connections to it, directly or by way of a wire."""
    made: list[Transport] = []

    def make(wire: Wire | None = None) -> Transport:
        made.append(broker.connect(wire.url(broker.url) if wire else broker.url))
        return made[-1]

    yield make
    for one in made:
        one.close()

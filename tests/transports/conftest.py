"""Each broker in turn, and connections to it that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from manager.transports.base import Transport
from tests.servers.cut import Wire
from tests.transports.brokers import NAMES, Broker, running

Connect = Callable[..., Transport]


@pytest.fixture(scope="session")
def brokers() -> Iterator[Callable[[str], Broker]]:
    """Each broker by its name, started when it is first asked for."""
    started: dict[str, Broker] = {}
    with ExitStack() as stack:

        def find(name: str) -> Broker:
            if name not in started:
                started[name] = stack.enter_context(running(name))
            return started[name]

        yield find


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

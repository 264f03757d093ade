"""Ids of orders over a real NATS server: what JetStream promises, and what it needs of us."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from ledger import new_id, new_ids
from manager.transports.base import Delivery, Notice, TransportDown
from manager.transports.nats import STREAM, NatsTransport
from manager.transports.nats_link import NatsLink
from tests.servers.nats import Nats
from tests.support import wait_until

QUEUES = ("a", "b.c", "b..c")
Make = Callable[..., NatsTransport]


@pytest.fixture
def make(nats: Nats) -> Iterator[Make]:
    made: list[NatsTransport] = []

    def transport(ack_seconds: float = 30.0) -> NatsTransport:
        made.append(NatsTransport(NatsLink(nats.url, "a manager"), ack_seconds))
        return made[-1]

    yield transport
    for one in made:
        one.close()


def notices(count: int, queue: str = "a") -> list[Notice]:
    return [Notice(one, queue, one) for one in new_ids(count)]


def drained(transport: NatsTransport, queue: str = "a") -> list[Delivery]:
    """All that is there, acknowledged."""
    found = []
    while some := transport.receive([queue], 50, 0):
        transport.ack(some)
        found += some
    return found


def test_ids_come_in_the_order_in_which_they_were_published(make: Make) -> None:
    relay, manager = make(), make()
    sent = notices(300)
    relay.publish(sent)
    assert [one.order for one in drained(manager)] == [one.order for one in sent]
    assert manager.receive(["a"], 50, 0) == []


def test_no_more_is_taken_than_was_asked_for(make: Make) -> None:
    relay, one, other = make(), make(), make()
    relay.publish(notices(5))
    assert len(one.receive(["a"], 2, 0)) == 2
    assert len(other.receive(["a"], 10, 0)) == 3
    (seen,) = relay.look(["a"]).queues
    assert (seen.depth, seen.unacknowledged) == (0, 5)


def test_queues_take_turns(make: Make) -> None:
    transport = make()
    for queue in QUEUES:
        transport.publish(notices(20, queue))
    got = [transport.receive(QUEUES, 1, 0)[0].queue for _ in range(9)]
    assert {queue: got.count(queue) for queue in QUEUES} == dict.fromkeys(QUEUES, 3)
    many = [one.queue for one in transport.receive(QUEUES, 30, 0)]
    assert {queue: many.count(queue) for queue in QUEUES} == dict.fromkeys(QUEUES, 10)
    assert len(transport.receive(QUEUES, 100, 0)) == 21, "what is left, from wherever"


def test_whoever_waits_hears_at_once(make: Make) -> None:
    relay, manager = make(), make()
    manager.receive(["a"], 1, 0)
    got: list[Delivery] = []
    thread = threading.Thread(target=lambda: got.extend(manager.receive(["a"], 5, 20)))
    thread.start()
    sent = notices(1)
    relay.publish(sent)
    thread.join(10)
    assert [one.order for one in got] == [sent[0].order]


def test_a_mark_that_comes_again_is_kept_once(make: Make) -> None:
    transport = make()
    order = new_id()
    transport.publish([Notice(order, "a", "1"), Notice(order, "a", "1")])
    assert len(drained(transport)) == 1
    transport.publish([Notice(order, "a", "1"), Notice(order, "a", "2")])
    assert len(drained(transport)) == 1, "only the new one, even after the first was taken"


def test_what_is_given_back_comes_again_later(make: Make) -> None:
    transport = make()
    transport.publish(notices(1))
    got = transport.receive(["a"], 1, 0)
    transport.nack(got, 0.3)
    begin = time.monotonic()
    (again,) = (
        transport.receive(["a"], 1, 0) or transport.receive(["a"], 1, 0.05) or _next(transport)
    )
    assert time.monotonic() - begin > 0.2
    assert (again.order, again.times) == (got[0].order, 2)
    (seen,) = transport.look(["a"]).queues
    assert (seen.unacknowledged, seen.redelivered) == (1, 1)


def test_what_a_dead_manager_had_comes_again(make: Make) -> None:
    dead, alive = make(1.0), make()
    dead.publish(notices(2))
    held = dead.receive(["a"], 2, 0)
    dead.in_progress(held[:1])
    dead.close()
    got = [_next(alive)[0], _next(alive)[0]]
    assert {one.order for one in got} == {one.order for one in held}
    assert {one.times for one in got} == {2}


def test_one_that_is_worked_on_is_not_given_out_again(make: Make) -> None:
    busy, idle = make(1.0), make()
    busy.publish(notices(1))
    held = busy.receive(["a"], 1, 0)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        busy.in_progress(held)
        assert idle.receive(["a"], 1, 0.2) == []
    busy.ack(held)
    assert idle.look(["a"]).queues[0].unacknowledged == 0


def test_what_is_no_id_is_thrown_away(make: Make, nats: Nats) -> None:
    transport = make()
    transport.receive(["a"], 1, 0)
    link = NatsLink(nats.url, "a stranger")

    async def publish(body: bytes) -> None:
        await link.stream.publish("capataz.orders.a", body)

    for body in (b"", b"{", b"[]", b'{"id": 7}', b'{"id": "nobody"}'):
        link.call(partial(publish, body))
    link.close()
    assert transport.receive(["a"], 10, 0.1) == []
    assert transport.look(["a"]).queues[0].unacknowledged == 0


def test_ids_are_on_disk_when_publish_returns() -> None:
    with Nats() as server:
        transport = NatsTransport(NatsLink(server.url, "a manager"))
        sent = notices(50)
        transport.publish(sent)
        server.kill()
        with pytest.raises(TransportDown):
            transport.receive(["a"], 1, 0)
        server.start()
        wait_until(lambda: _quietly(lambda: transport.look(["a"])), "it has come back by itself")
        assert [one.order for one in drained(transport)] == [one.order for one in sent]
        transport.close()


def test_a_server_that_lost_everything_is_set_up_again() -> None:
    with Nats() as server:
        transport = NatsTransport(NatsLink(server.url, "a manager"))
        transport.publish(notices(5))
        server.kill()
        server.wipe()
        server.start()
        sent = notices(5)
        wait_until(lambda: _quietly(lambda: _published(transport, sent)), "it takes ids again")
        assert [one.order for one in drained(transport)] == [one.order for one in sent]

        async def lose() -> None:
            await transport._link.stream.delete_stream(STREAM)

        transport._link.call(lose)
        wait_until(lambda: _quietly(lambda: transport.receive(["a"], 1, 0) == []), "under its feet")
        transport.publish(notices(1))
        transport._link.call(lose)
        wait_until(lambda: _quietly(lambda: _published(transport, sent)), "and for a relay")
        transport.close()


def test_without_a_server_it_is_said_at_once() -> None:
    transport = NatsTransport(NatsLink("nats://127.0.0.1:9", "a manager"))
    with pytest.raises(TransportDown, match="not connected"):
        transport.receive(["a"], 1, 5)
    begin = time.monotonic()
    with pytest.raises(TransportDown):
        transport.publish(notices(1))
    assert time.monotonic() - begin < 1.5, "only the first call waits for a connection"
    transport.close()
    transport.close()
    with pytest.raises(TransportDown, match="closed"):
        transport.receive(["a"], 1, 0)


def _next(transport: NatsTransport) -> list[Delivery]:
    found: list[Delivery] = []

    def came() -> bool:
        found.extend(transport.receive(["a"], 1, 0.1))
        return bool(found)

    wait_until(came)
    return found


def _published(transport: NatsTransport, sent: list[Notice]) -> bool:
    transport.publish(sent)
    return True


def _quietly(work: Callable[[], object]) -> object:
    try:
        return work()
    except TransportDown:
        return None

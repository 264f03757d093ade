"""Ids of orders over a real NATS server: what JetStream promises, and what it needs of us."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from ledger import new_id, new_ids
from manager.transports.base import Delivery, Parcel, TransportDown
from manager.transports.nats import STREAM, NatsTransport
from manager.transports.nats_aside import REFUSED_STREAM, SUBJECT
from manager.transports.nats_link import NatsLink, _servers
from tests.intake.producers import NatsProducer
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


def parcels(count: int, queue: str = "a") -> list[Parcel]:
    return [Parcel(one, queue, 2) for one in new_ids(count)]


def drained(transport: NatsTransport, queue: str = "a") -> list[Delivery]:
    """All that is there, acknowledged."""
    found = []
    while some := transport.receive([queue], 50, 0):
        transport.ack(some)
        found += some
    return found


def test_ids_come_in_the_order_in_which_they_were_published(make: Make) -> None:
    relay, manager = make(), make()
    sent = parcels(300)
    relay.publish(sent)
    assert [one.id for one in drained(manager)] == [one.id for one in sent]
    assert manager.receive(["a"], 50, 0) == []


def test_no_more_is_taken_than_was_asked_for(make: Make) -> None:
    relay, one, other = make(), make(), make()
    relay.publish(parcels(5))
    assert len(one.receive(["a"], 2, 0)) == 2
    assert len(other.receive(["a"], 10, 0)) == 3
    (seen,) = relay.depths(["a"])
    assert (seen.ready, seen.unacked) == (0, 5)


def test_queues_take_turns(make: Make) -> None:
    transport = make()
    for queue in QUEUES:
        transport.publish(parcels(20, queue))
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
    sent = parcels(1)
    relay.publish(sent)
    thread.join(10)
    assert [one.id for one in got] == [sent[0].id]


def test_what_may_have_arrived_is_sent_again_and_kept_once(make: Make) -> None:
    transport = make()
    sent = parcels(3)
    transport.publish(sent)
    assert len(drained(transport)) == 3
    transport._unsure[sent[0]] = mark = next(transport._marks)
    transport.publish(sent[:1])
    transport._unsure[sent[0]] = mark
    transport.publish(sent)
    assert len(drained(transport)) == 3, "a new notice of an order that was taken is no repeat"


def test_higher_priorities_come_first(make: Make) -> None:
    transport = make()
    sent = [Parcel(new_id(), queue, p) for p in (3, 1, 2) for queue in QUEUES for _ in range(2)]
    transport.publish(sent)
    got = [one.id for one in transport.receive(QUEUES, 13, 0)]
    rank = {str(one.id): one.priority for one in sent}
    assert [rank[str(one)] for one in got] == [1] * 6 + [2] * 6 + [3]
    assert sum(one.ready for one in transport.depths([*QUEUES, "none"])) == 5


def test_what_is_given_back_comes_again_later(make: Make) -> None:
    transport = make()
    transport.publish(parcels(1))
    got = transport.receive(["a"], 1, 0)
    transport.nack(got, 0.3)
    begin = time.monotonic()
    (again,) = (
        transport.receive(["a"], 1, 0) or transport.receive(["a"], 1, 0.05) or _next(transport)
    )
    assert time.monotonic() - begin > 0.2
    assert (again.id, again.again) == (got[0].id, True)
    (seen,) = transport.depths(["a"])
    assert (seen.unacked, seen.redelivered) == (1, 1)


def test_what_a_dead_manager_had_comes_again(make: Make) -> None:
    dead, alive = make(1.0), make()
    dead.publish(parcels(2))
    held = dead.receive(["a"], 2, 0)
    dead.in_progress(held[:1])
    dead.close()
    got = [_next(alive)[0], _next(alive)[0]]
    assert {one.id for one in got} == {one.id for one in held}
    assert all(one.again for one in got)


def test_one_that_is_worked_on_is_not_given_out_again(make: Make) -> None:
    busy, idle = make(1.0), make()
    busy.publish(parcels(1))
    held = busy.receive(["a"], 1, 0)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        busy.in_progress(held)
        assert idle.receive(["a"], 1, 0.2) == []
    busy.ack(held)
    assert idle.depths(["a"])[0].unacked == 0


def test_what_is_no_id_is_put_aside(make: Make, nats: Nats) -> None:
    transport = make()
    transport.receive(["a"], 1, 0)
    link = NatsLink(nats.url, "a stranger")

    async def publish(body: bytes, subject: str) -> None:
        await link.stream.publish(subject, body)

    for body in (b"", b"{", b"[]", b'{"id": 7}', b'{"id": "nobody"}'):
        link.call(partial(publish, body, "capataz.orders.2.a"))
    link.close()
    got = transport.receive(["a"], 10, 0.1)
    assert [one.id for one in got] == [None] * 5
    transport.refuse(got)
    with NatsProducer(nats.url) as stranger:
        assert stranger.waiting(STREAM) == 0
        headers, body = stranger.put_aside()
        assert stranger.waiting(REFUSED_STREAM) == 5
    assert (headers[SUBJECT], body) == ("capataz.orders.2.a", b'{"id": "nobody"}')


def test_ids_are_on_disk_when_publish_returns() -> None:
    with Nats() as server:
        transport = NatsTransport(NatsLink(server.url, "a manager"))
        sent = parcels(50)
        transport.publish(sent)
        server.kill()
        with pytest.raises(TransportDown):
            transport.receive(["a"], 1, 0)
        server.start()
        wait_until(lambda: _quietly(lambda: transport.depths(["a"])), "it has come back by itself")
        assert [one.id for one in drained(transport)] == [one.id for one in sent]
        transport.close()


def test_a_server_that_lost_everything_is_set_up_again() -> None:
    with Nats() as server:
        transport = NatsTransport(NatsLink(server.url, "a manager"))
        transport.publish(parcels(5))
        server.kill()
        server.wipe()
        server.start()
        sent = parcels(5)
        wait_until(lambda: _quietly(lambda: _published(transport, sent)), "it takes ids again")
        assert [one.id for one in drained(transport)] == [one.id for one in sent]

        async def lose() -> None:
            await transport._link.stream.delete_stream(STREAM)

        transport._link.call(lose)
        wait_until(lambda: _quietly(lambda: transport.receive(["a"], 1, 0) == []), "under its feet")
        transport.publish(parcels(1))
        transport._link.call(lose)
        wait_until(lambda: _quietly(lambda: _published(transport, sent)), "and for a relay")
        transport.close()


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        ("nats://h:4222", (["nats://h:4222"], None, None)),
        ("nats://u:p%2Fw%40@h:1, nats://i:2", (["nats://h:1", "nats://i:2"], "u", "p/w@")),
    ],
)
def test_a_password_may_hold_anything(urls: str, found: object) -> None:
    assert _servers(urls) == found


def test_without_a_server_it_is_said_at_once() -> None:
    transport = NatsTransport(NatsLink("nats://127.0.0.1:9", "a manager"))
    with pytest.raises(TransportDown, match="not connected"):
        transport.receive(["a"], 1, 5)
    begin = time.monotonic()
    with pytest.raises(TransportDown):
        transport.publish(parcels(1))
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


def _published(transport: NatsTransport, sent: list[Parcel]) -> bool:
    transport.publish(sent)
    return True


def _quietly(work: Callable[[], object]) -> object:
    try:
        return work()
    except TransportDown:
        return None

"""What a manager may rely on, whichever broker carries the ids."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from ledger import new_id, new_ids
from manager.transports.base import Delivery, Parcel, Transport, TransportDown
from models import PRIORITIES
from tests.servers.cut import Wire
from tests.support import wait_until
from tests.transports.brokers import Broker
from tests.transports.conftest import Connect

HIGH, NORMAL, LOW = sorted(PRIORITIES.values())


def parcels(queue: str, count: int, priority: int = NORMAL) -> list[Parcel]:
    return [Parcel(one, queue, priority) for one in new_ids(count)]


def ids(some: Sequence[Delivery | Parcel]) -> list[str | None]:
    return [one.id for one in some]


def drained(transport: Transport, *queues: str) -> list[Delivery]:
    """All that is there, acknowledged."""
    found: list[Delivery] = []
    while some := transport.receive(queues, 50, 0.1):
        transport.ack(some)
        found += some
    return found


def came(transport: Transport, queue: str, most: int = 1) -> list[Delivery]:
    """Wait for the next."""
    found: list[Delivery] = []

    def there() -> bool:
        found.extend(transport.receive([queue], most, 0.5))
        return bool(found)

    wait_until(there, "a message comes")
    return found


def quietly(work: Callable[[], object]) -> bool:
    """Whether the broker was there to do it."""
    try:
        work()
    except TransportDown:
        return False
    return True


def test_ids_come_in_the_order_in_which_they_were_published(
    broker: Broker, connect: Connect
) -> None:
    relay, manager, queue = connect(), connect(), broker.queue()
    sent = parcels(queue, 300)
    relay.publish(sent[:200])
    relay.publish(sent[200:])
    assert ids(drained(manager, queue)) == ids(sent)
    assert manager.receive([queue], 50, 0) == []


def test_higher_priorities_come_first(broker: Broker, connect: Connect) -> None:
    transport, queue = connect(), broker.queue()
    sent = [parcels(queue, 3, priority) for priority in (LOW, HIGH, NORMAL)]
    for some in sent:
        transport.publish(some)
    got: list[Delivery] = []
    for _ in range(9):
        got += (one := transport.receive([queue], 1, 0.5))
        transport.ack(one)
    assert ids(got) == ids([*sent[1], *sent[2], *sent[0]])


def test_no_more_is_taken_than_was_asked_for(broker: Broker, connect: Connect) -> None:
    relay, one, other, queue = connect(), connect(), connect(), broker.queue()
    sent = parcels(queue, 10)
    relay.publish(sent)
    first = one.receive([queue], 2, 0.5)
    rest = other.receive([queue], 20, 0.5)
    assert ids(first) == ids(sent[:2])
    assert sorted(map(str, ids(rest))) == sorted(map(str, ids(sent[2:])))


def test_managers_that_ask_for_one_at_a_time_share_evenly(broker: Broker, connect: Connect) -> None:
    relay, queue = connect(), broker.queue()
    managers = [connect() for _ in range(3)]
    relay.publish(parcels(queue, 10))
    shares = [len(one.receive([queue], 1, 0.5)) for _ in range(3) for one in managers]
    assert shares == [1] * 9
    assert len(managers[0].receive([queue], 1, 0.5)) == 1


def test_no_queue_is_left_out(broker: Broker, connect: Connect) -> None:
    transport = connect()
    queues = [broker.queue() for _ in range(3)]
    for queue in queues:
        transport.publish(parcels(queue, 10))
    got: Counter[str] = Counter()
    for nth in range(12):
        turned = queues[nth % 3 :] + queues[: nth % 3]
        (one,) = transport.receive(turned, 1, 0.5)
        transport.ack([one])
        got[one.queue] += 1
    assert len(got) == 3
    assert len(drained(transport, *queues)) == 18


def test_whoever_waits_hears_at_once(broker: Broker, connect: Connect) -> None:
    relay, manager, queue = connect(), connect(), broker.queue()
    manager.receive([queue], 1, 0)
    got: list[Delivery] = []
    thread = threading.Thread(target=lambda: got.extend(manager.receive([queue], 5, 60)))
    thread.start()
    sent = parcels(queue, 1)
    relay.publish(sent)
    thread.join(10)
    assert ids(got) == ids(sent), "long before its time is over"


def test_the_same_id_twice_comes_once_or_twice(broker: Broker, connect: Connect) -> None:
    transport, queue = connect(), broker.queue()
    sent = parcels(queue, 5)
    transport.publish(sent)
    transport.publish(sent[::-1])
    assert set(ids(drained(transport, queue))) == set(ids(sent))


def test_what_is_given_back_comes_again_to_anybody(broker: Broker, connect: Connect) -> None:
    one, other, queue = connect(), connect(), broker.queue()
    one.publish(parcels(queue, 3))
    held = one.receive([queue], 3, 0.5)
    one.nack(held)
    again = came(other, queue, 3)
    while len(again) < 3:
        again += came(other, queue, 3)
    assert set(ids(again)) == set(ids(held))
    assert all(delivery.again for delivery in again)


def test_what_a_manager_had_that_is_gone_comes_again(broker: Broker, connect: Connect) -> None:
    other, queue = connect(), broker.queue()
    with Wire(broker.port) as wire:
        gone = connect(wire)
        gone.publish(parcels(queue, 2))
        held = gone.receive([queue], 2, 0.5)
        assert len(held) == 2
        wire.cut()
        again = came(other, queue, 2)
        while len(again) < 2:
            again += came(other, queue, 2)
        assert set(ids(again)) == set(ids(held))
        other.ack(again)
        gone.close()


def test_poison_is_put_aside(broker: Broker, connect: Connect) -> None:
    transport, queue = connect(), broker.queue()
    transport.publish(parcels(queue, 1))
    drained(transport, queue)
    transport.refuse([])
    bodies = (b"", b"{", b"\xff\xfe", b'{"id": 7}', b"nobody")
    for body in bodies:
        broker.post(queue, body)
    got: list[Delivery] = []
    while len(got) < len(bodies):
        got += came(transport, queue, 10)
    assert ids(got) == [None] * len(bodies)
    before = broker.aside()
    transport.refuse(got)
    wait_until(lambda: broker.aside() == before + len(bodies), "people can look at them")
    assert transport.receive([queue], 10, 0.1) == []


def test_what_there_is_of_each_queue_is_told(broker: Broker, connect: Connect) -> None:
    transport, queue, empty = connect(), broker.queue(), broker.queue()
    transport.publish(parcels(queue, 5))
    wait_until(lambda: transport.depths([queue, empty])[0].ready == 5)
    assert [(one.queue, one.ready) for one in transport.depths([empty, queue])] == [
        (empty, 0),
        (queue, 5),
    ]
    held = transport.receive([queue], 2, 0.5)
    wait_until(lambda: transport.depths([queue])[0].ready == 3)
    transport.ack(held)
    assert transport.depths([]) == []


def test_a_connection_that_breaks_comes_back_by_itself(broker: Broker, connect: Connect) -> None:
    relay, queue = connect(), broker.queue()
    with Wire(broker.port) as wire:
        manager = connect(wire)
        sent = parcels(queue, 4)
        relay.publish(sent)
        held = manager.receive([queue], 1, 0.5)
        wire.cut()
        with pytest.raises(TransportDown):
            manager.receive([queue], 4, 5)
        with pytest.raises(TransportDown):
            manager.publish(sent)
        quietly(lambda: manager.ack(held))
        wire.mend()
        wait_until(lambda: quietly(lambda: manager.publish(sent[:1])), "it has come back")
        got: list[Delivery] = []

        def all_came() -> bool:
            got.extend(some := manager.receive([queue], 4, 0.2))
            manager.ack(some)
            return set(ids(got)) == set(ids(sent))

        wait_until(all_came, "all that was not acknowledged comes")
        manager.close()


def test_one_that_waits_is_told_of_a_break(broker: Broker, connect: Connect) -> None:
    queue = broker.queue()
    with Wire(broker.port) as wire:
        manager = connect(wire)
        manager.receive([queue], 1, 0)
        told = threading.Event()

        def wait() -> None:
            with pytest.raises(TransportDown):
                manager.receive([queue], 1, 60)
            told.set()

        thread = threading.Thread(target=wait)
        thread.start()
        wire.cut()
        assert told.wait(15)
        thread.join()
        manager.close()


def test_a_close_under_load_ends_every_call(broker: Broker, connect: Connect) -> None:
    relay, other, queue = connect(), connect(), broker.queue()
    busy = connect()
    sent = parcels(queue, 400)
    relay.publish(sent)
    acked: list[Delivery] = []
    ended: list[str] = []

    def work(name: str, step: Callable[[], None]) -> None:
        try:
            while True:
                step()
        except TransportDown:
            ended.append(name)

    def take() -> None:
        some = busy.receive([queue], 3, 0.2)
        busy.ack(some)
        acked.extend(some)

    def hold() -> None:
        busy.receive([queue], 1, 0.2)
        busy.depths([queue])

    threads = [
        threading.Thread(target=work, args=("take", take)),
        threading.Thread(target=work, args=("hold", hold)),
        threading.Thread(target=work, args=("send", lambda: busy.publish(sent[:5]))),
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acked) > 20, "there is load")
    begin = time.monotonic()
    busy.close()
    busy.close()
    for thread in threads:
        thread.join(20)
    assert sorted(ended) == ["hold", "send", "take"]
    assert time.monotonic() - begin < 15
    seen = set(ids(acked))

    def all_seen() -> bool:
        some = other.receive([queue], 100, 0.2)
        other.ack(some)
        seen.update(ids(some))
        return seen == set(ids(sent))

    wait_until(all_seen, "nothing that it held is lost")


def test_without_a_broker_it_is_said_soon(broker: Broker) -> None:
    transport = broker.connect(broker.url.replace(f":{broker.port}", ":9"))
    with pytest.raises(TransportDown, match="not connected"):
        transport.receive(["a"], 1, 5)
    for call in (
        lambda: transport.publish(parcels("a", 1)),
        lambda: transport.depths(["a"]),
        lambda: transport.receive(["a"], 1, 5),
    ):
        begin = time.monotonic()
        with pytest.raises(TransportDown):
            call()
        assert time.monotonic() - begin < 1.5, "only the first call waits for a connection"
    transport.close()
    transport.close()
    with pytest.raises(TransportDown, match="closed"):
        transport.receive(["a"], 1, 0)


def test_a_close_before_the_first_call_is_safe(broker: Broker) -> None:
    transport = broker.connect(broker.url)
    transport.close()
    with pytest.raises(TransportDown):
        transport.publish([Parcel(new_id(), "a", NORMAL)])

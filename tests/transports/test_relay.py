"""The relay: one of all keeps the broker topped up with what is due, and tells when it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import ledger
from database import Database, Sql
from ledger import sight
from ledger.broker import broker_outages
from ledger.claim_named import claim_named
from manager.relay import WINDOW, Relay
from manager.transports.base import Parcel
from models import PRIORITIES
from tests.factories import new_order, submit
from tests.ledger.evidence import events, waited
from tests.support import wait_until
from tests.transports.shelf import Shelf

HIGH, NORMAL, LOW = sorted(PRIORITIES.values())
FORGET = Sql("UPDATE chore SET due_on = 0")


def many(database: Database, count: int, **columns: object) -> list[str]:
    orders = [new_order(**columns) for _ in range(count)]
    return ledger.submit(database, [ledger.Request(orders)])[0].ids


def stepper(database: Database, shelf: Shelf, name: str = "me") -> Callable[[], float]:
    return partial(step, Relay(database, name, shelf, poll_seconds=1.0))


def step(relay: Relay) -> float:
    """One step, whatever it would wait for."""
    relay._step_at = relay._look_at = 0.0
    return relay.step()


def test_what_is_due_is_sent_once_in_claim_order(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    low, high = submit(database, priority=LOW), submit(database, priority=HIGH)
    normal = submit(database)
    submit(database, delay_ms=60_000)
    for _ in range(5):
        assert go() == 1.0
    assert shelf.ready == [
        Parcel(high, "default", HIGH),
        Parcel(normal, "default", NORMAL),
        Parcel(low, "default", LOW),
    ]


def test_it_keeps_a_window_filled(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    orders = many(database, WINDOW + 300)
    assert go() < 1.0
    assert shelf.ids() == orders[:WINDOW]
    taken = shelf.receive(["default"], 200, 0)
    claim_named(database, "m", [one.id for one in taken if one.id], 200)
    shelf.ack(taken)
    assert go() < 1.0
    assert shelf.ids() == orders[200 : WINDOW + 200]
    assert shelf.published == WINDOW + 200


def test_what_is_urgent_goes_beside_a_full_window(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    many(database, WINDOW)
    go()
    late = submit(database, priority=HIGH)
    go()
    assert shelf.ready[-1] == Parcel(late, "default", HIGH)
    assert shelf.published == WINDOW + 1


def test_what_waits_too_long_behind_urgent_orders_goes_with_them(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    old = submit(database)
    go()
    assert shelf.ready == [Parcel(old, "default", NORMAL)]
    waited(database, old, 61_000)
    go()
    assert shelf.published == 1
    many(database, 20, priority=HIGH)
    go()
    assert Parcel(old, "default", HIGH) in shelf.ready
    go()
    assert shelf.published == 22


def test_a_wiped_broker_is_filled_again(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    orders = many(database, 30)
    go()
    shelf.ready.clear()
    wait_until(lambda: go() and len(shelf.ready) == 30, "they are sent again")
    assert shelf.ids() == orders


def test_one_message_of_many_that_was_lost_is_sent_again_later(database: Database) -> None:
    shelf = Shelf()
    relay = Relay(database, "me", shelf, poll_seconds=1.0)
    orders = many(database, 30)
    step(relay)
    lost = shelf.ready.pop(4)
    step(relay)
    assert lost not in shelf.ready
    age = {one: sent._replace(at=sent.at - 60) for one, sent in relay._sent["default"].items()}
    relay._sent["default"] = age
    step(relay)
    assert set(shelf.ids()) == set(orders)


def test_one_of_all_is_the_relay(database: Database) -> None:
    shelf = Shelf()
    first, second = (Relay(database, name, shelf, poll_seconds=1.0) for name in ("a", "b"))
    orders = many(database, 3)
    step(first)
    step(second)
    assert shelf.ids() == orders
    # In good order another takes over at once.
    first.stop()
    shelf.ready.clear()
    step(second)
    assert shelf.ids() == orders
    step(first)
    assert shelf.published == 6


def test_a_relay_that_died_is_followed(database: Database) -> None:
    shelf = Shelf()
    first, second = (Relay(database, name, shelf, poll_seconds=1.0) for name in ("a", "b"))
    step(first)
    database.write(lambda transaction: transaction.run(FORGET))
    order = submit(database)
    step(second)
    assert shelf.ids() == [order]
    # The first wakes up after all: it has lost its turn.
    first._held_until = time.monotonic() + 1
    step(first)
    assert shelf.published == 1


def test_an_outage_is_told_and_the_state_says_so(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    go()
    shelf.is_away = True
    wait_until(lambda: go() and events(database, "broker_away"), "it is told")
    (outage,) = broker_outages(database)
    assert outage.name == "shelf"
    signs = sight.look(database).signs
    assert [trouble.what for trouble in signs.troubles] == [
        "the broker is away, and managers poll the database"
    ]
    go()
    shelf.is_away = False
    go()
    (away,), (back,) = (events(database, kind) for kind in ("broker_away", "broker_back"))
    assert away.data["transport"] == "shelf"
    assert "taken down" in away.data["reason"]
    assert back.data["to"] - back.data["from"] >= 0
    assert broker_outages(database) == []
    assert sight.look(database).signs.troubles[-1].what.startswith("the broker was away")


def test_a_broken_connection_is_no_outage(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    go()
    shelf.is_away = True
    go()
    shelf.is_away = False
    go()
    assert events(database, "broker_away") == []


def test_a_queue_that_is_paused_is_left_alone(database: Database) -> None:
    shelf = Shelf()
    go = stepper(database, shelf)
    order = submit(database)
    ledger.pause(database, "default")
    go()
    assert shelf.ready == []
    ledger.resume(database, "default")
    go()
    assert shelf.ids() == [order]

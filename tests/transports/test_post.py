"""What a claimer receives from a broker: no more than it has room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

import ledger
from database import Database, DatabaseAway
from manager.lanes import Lanes
from manager.pace import Pace
from manager.transports.base import Parcel
from manager.transports.database import Polling
from manager.transports.post import QUIET_SECONDS, Post
from models import PENDING, PRIORITIES
from tests.factories import submit
from tests.manager.by_hand import Unlucky
from tests.support import wait_until
from tests.transports.road import names, taken
from tests.transports.shelf import Shelf

NORMAL = PRIORITIES["normal"]


class Desk:
    """A post at a shelf."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.shelf = Shelf()
        self.pace = Pace()
        self._posts: list[Post] = []

    def post(self, served: Sequence[str] = (), kept: int = 0, poll_seconds: float = 0.05) -> Post:
        polling = Polling(self.database, "me", Lanes(), self.pace, served)
        made = Post(
            self.database,
            "me",
            transport=self.shelf,
            polling=polling,
            pace=self.pace,
            poll_seconds=poll_seconds,
            served=served,
            kept=kept,
        )
        self._posts.append(made)
        made.start()
        wait_until(lambda: made.take(1, 0) == [] and made.is_up, "it is up")
        made.rest()
        return made

    def send(self, *ids: str, queue: str = "default") -> None:
        self.shelf.publish([Parcel(one, queue, NORMAL) for one in ids])

    def close(self) -> None:
        for post in self._posts:
            post.close()
        self.shelf.close()


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    opened = Desk(database)
    yield opened
    opened.close()


def test_an_arrival_wakes_the_claimer(desk: Desk) -> None:
    post = desk.post()
    woken: list[int] = []
    post.woken = lambda: woken.append(1)
    assert post.take(1, 0) == []
    desk.send(order := submit(desk.database))
    wait_until(lambda: woken, "it is woken")
    assert names(taken(post, 1)) == [order]
    assert desk.shelf.acked == [order]


def test_nothing_is_received_while_there_is_no_room(desk: Desk) -> None:
    post = desk.post()
    desk.send(*[submit(desk.database) for _ in range(5)])
    taken(post, 2)
    wait_until(lambda: not desk.shelf.out, "nothing is held")
    assert len(desk.shelf.ready) == 3


def test_what_arrives_too_late_goes_back(desk: Desk) -> None:
    post = desk.post()
    post.take(3, 0)
    post.rest()
    desk.send(*[submit(desk.database) for _ in range(3)])
    wait_until(lambda: len(desk.shelf.ready) == 3 and not desk.shelf.out, "all go back")


def test_some_may_be_held_for_workers_that_are_not_free_yet(desk: Desk) -> None:
    post = desk.post(kept=2)
    desk.send(*(orders := [submit(desk.database) for _ in range(5)]))
    first = taken(post, 1)
    wait_until(lambda: len(desk.shelf.out) == 2, "two are held")
    assert names([*first, *post.take(2, 0)]) == orders[:3]


def test_short_orders_are_taken_ahead_and_long_ones_left_to_others(desk: Desk) -> None:
    post = desk.post()
    desk.pace.observe("add", 0.001)
    short = [submit(desk.database) for _ in range(4)]
    long = submit(desk.database, type="sleep")
    desk.send(*short, long)
    assert post.take(1, 4) == []
    wait_until(lambda: len(desk.shelf.out) == 5, "all have come")
    assert names(post.take(1, 4)) == short
    wait_until(lambda: desk.shelf.ids() == [long], "it went back")
    assert ledger.find(desk.database, long).status == PENDING


def test_poison_is_put_aside_and_harms_nobody(desk: Desk) -> None:
    post = desk.post()
    desk.send("poison", ledger.new_id(), order := submit(desk.database))
    assert names(taken(post, 1)) == [order]
    wait_until(lambda: desk.shelf.refused == [None], "it is put aside")


def test_what_cannot_be_claimed_is_dropped(desk: Desk) -> None:
    post = desk.post(served=["default"])
    gone, later = submit(desk.database), submit(desk.database, delay_ms=60_000)
    ledger.cancel(desk.database, gone)
    other = submit(desk.database, queue="other")
    desk.send(gone, later, other, order := submit(desk.database))
    assert names(taken(post, 1, free=4)) == [order]
    assert sorted(map(str, desk.shelf.acked)) == sorted([gone, later, other, order])
    assert post.dropped == 3


def test_a_worker_that_is_brought_nothing_looks_for_itself(desk: Desk) -> None:
    post = desk.post()
    orders = [submit(desk.database) for _ in range(3)]
    assert names(taken(post, 3, free=1, timeout=QUIET_SECONDS + 10)) == orders
    assert post.found == 3


def test_a_broker_that_goes_away_takes_nothing_along(desk: Desk) -> None:
    post = desk.post()
    desk.send(*(orders := [submit(desk.database) for _ in range(2)]))
    post.take(2, 0)
    wait_until(lambda: len(desk.shelf.out) == 2, "they have come")
    desk.shelf.go_away()
    assert sorted(names(taken(post, 2))) == sorted(orders)
    wait_until(lambda: not post.is_up or post.take(1, 0), "it polls")
    desk.shelf.is_away = False
    wait_until(lambda: post.take(1, 0) == [] and post.is_up, "the broker is used again")
    wait_until(lambda: post.take(5, 0) == [] and not desk.shelf.ready, "the old ids are dropped")


def test_a_database_that_goes_away_takes_nothing_along(database_url: str, desk: Desk) -> None:
    unlucky = Unlucky(database_url)
    desk.database = unlucky
    post = desk.post()
    desk.send(order := submit(desk.database))
    post.take(1, 0)
    wait_until(lambda: desk.shelf.out, "it has come")
    unlucky.refused = 1
    with pytest.raises(DatabaseAway):
        post.take(1, 0)
    assert names(taken(post, 1)) == [order]
    unlucky.close()


def test_a_queue_that_is_new_is_received_from(desk: Desk) -> None:
    post = desk.post(poll_seconds=5.0)
    order = submit(desk.database, queue="new")
    desk.send(order, queue="new")
    assert names(taken(post, 1)) == [order]
    assert post.found == 0
    assert {"default", "new"} <= set(desk.shelf.asked[-1])


def test_what_it_has_at_a_stop_is_for_others(desk: Desk) -> None:
    post = desk.post()
    desk.send(*[submit(desk.database) for _ in range(3)])
    post.take(3, 0)
    wait_until(lambda: len(desk.shelf.out) == 3, "they have come")
    post.close()
    post.close()
    assert len(desk.shelf.ready) == 3
    assert desk.shelf.out == []

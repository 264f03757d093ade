"""The events in the order of their commits: none missed and none repeated, whoever writes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import ledger
from database import Database, Sql, Transaction
from ledger.record import Record, note
from ledger.stream import WHOLE, Place, reaches_back, read_on, stream_now
from tests import factories
from tests.ledger import evidence
from tests.support import wait_until

WRITERS = 100
POSTGRES_ONLY = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

GIVE_XID = Sql("SELECT pg_current_xact_id()")
FORGET = Sql("DELETE FROM event WHERE id <= :until")
LAST = Sql("SELECT max(id) FROM event")


class Follower:
    """Reads on from where it is, a few items at a time, as a stream does."""

    def __init__(self, database: Database, most: int = 100) -> None:
        self.database = database
        self.most = most
        self.place = stream_now(database)
        self.names: list[Any] = []
        self.places: list[Place] = []

    def read(self) -> list[Any]:
        """What is new, to the end."""
        begin = len(self.names)
        while True:
            news = read_on(self.database, self.place, self.most)
            self.names += [item.data.get("name", item.kind) for _, item in news.items]
            self.places += [place for place, _ in news.items]
            self.place = news.reached
            if not news.more:
                return self.names[begin:]


def write(database: Database, name: str, before: Callable[[Transaction], None]) -> None:
    def work(transaction: Transaction) -> None:
        before(transaction)
        note(transaction, "tested", name=name)

    database.write(work)


def test_a_transaction_that_began_first_and_commits_last_is_not_missed(database: Database) -> None:
    follower = Follower(database)
    wrote, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        def work(transaction: Transaction) -> None:
            note(transaction, "tested", name="slow")
            list(transaction.rows(LAST))  # sent, not only put into the pipeline
            wrote.set()
            assert go_on.wait(20)

        database.write(work)
        database.close()

    def quick() -> None:
        write(database, "quick", lambda _: None)
        database.close()

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    threads[0].start()
    assert wrote.wait(20)
    threads[1].start()
    if database.dialect == "postgresql":  # on SQLite the second waits for its turn
        threads[1].join()
        assert database.read(Sql("SELECT count(*) FROM event WHERE kind = 'tested'")) == [(1,)]
    assert follower.read() == []
    go_on.set()
    for thread in threads:
        thread.join()
    assert follower.read() == ["slow", "quick"]
    assert follower.read() == []


@POSTGRES_ONLY
def test_a_lower_number_of_a_later_transaction_is_not_missed(database: Database) -> None:
    follower = Follower(database)
    has_xid, go_on = threading.Event(), threading.Event()

    def first() -> None:
        def wait(transaction: Transaction) -> None:
            transaction.rows(GIVE_XID)
            has_xid.set()
            assert go_on.wait(20)

        write(database, "first", wait)

    thread = threading.Thread(target=first)
    thread.start()
    assert has_xid.wait(20)
    write(database, "second", lambda _: None)
    assert follower.read() == []
    go_on.set()
    thread.join()
    assert follower.read() == ["first", "second"]
    assert [place.row for place in follower.places] == [2, 1]
    assert sorted(follower.places) == follower.places


def test_a_hundred_writers(database: Database) -> None:
    """Some give up what they wrote, some stand for several orders, some take their time."""
    rolled_back: list[str] = []
    written: list[str] = []

    def writer(number: int) -> None:
        dice = random.Random(number)
        for turn in range(5):
            names = [f"{number}/{turn}/{place}" for place in range(dice.choice((1, 1, 7)))]
            failing = dice.random() < 0.2

            def work(
                transaction: Transaction, names: list[str] = names, failing: bool = failing
            ) -> None:
                record = Record()
                record.event("tested", ledger.new_ids(len(names)), name=names)
                record.write(transaction)
                if database.dialect == "postgresql":
                    transaction.rows(LAST)
                    time.sleep(dice.random() * 0.02)
                if failing:
                    raise ValueError

            try:
                database.write(work)
                written.extend(names)
            except ValueError:
                rolled_back.extend(names)

    follower = Follower(database, most=3)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            follower.read()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        evidence.at_once([partial(writer, number) for number in range(WRITERS)])
    finally:
        over.set()
        reader.join()
    wait_until(lambda: not follower.read() and len(follower.names) >= len(written))
    assert Counter(follower.names) == Counter(written)
    assert rolled_back
    assert set(follower.names).isdisjoint(rolled_back)
    assert sorted(set(follower.places)) == follower.places


def test_a_row_of_many_is_read_in_steps_from_any_place(database: Database) -> None:
    start = stream_now(database)
    ids = ledger.new_ids(25)
    ledger.submit(database, [ledger.Request([factories.new_order(id=one) for one in ids])])
    write(database, "after", lambda _: None)
    everything = read_on(database, start, 1_000)
    assert [item.order_id for _, item in everything.items] == [*ids, None]
    assert [item.type for _, item in everything.items] == ["add"] * 25 + [None]
    assert not everything.more
    assert everything.reached.place == WHOLE
    for number, (place, _) in enumerate(everything.items):
        step = read_on(database, place, 4)
        assert step.items == everything.items[number + 1 : number + 5]
        assert step.more or number >= 21


def test_how_far_back_it_reaches(database: Database) -> None:
    empty = stream_now(database)
    assert reaches_back(database, empty)
    for name in "abcd":
        write(database, name, lambda _: None)
    assert reaches_back(database, empty)
    first, second, third, last = (p for p, _ in read_on(database, empty, 10).items)
    database.write(lambda tx: tx.run(FORGET, {"until": second.row}))
    assert [reaches_back(database, p) for p in (empty, first)] == [False, False]
    assert all(reaches_back(database, p) for p in (second, third, last))
    database.write(lambda tx: tx.run(FORGET, {"until": last.row}))
    assert [reaches_back(database, p) for p in (second, third, last)] == [False, False, True]
    assert reaches_back(database, stream_now(database))
    assert not reaches_back(database, last._replace(row=last.row + 1))
    assert not reaches_back(database, last._replace(xid=2**62))

"""Ten thousand orders of every kind, while one of three managers is killed every few seconds."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ledger
from database import Sql
from ledger import MoveRefused, NewOrder, Request
from ledger.ids import text_id
from models import CANCELLED, COMPLETED, ENDED, FAILED, PENDING, PRIORITIES, WIP
from tests.crash.harness import Site
from tests.ledger.evidence import counted, events, levels
from tests.support import wait_until

ORDERS = 10_000
BATCH = 500
BACKLOG = 1_500
KILL_SECONDS = 2.0
QUEUES = ("default", "mail", "images", "reports", "imports")
ENDS = {
    "works": COMPLETED,
    "flaky": COMPLETED,
    "again": COMPLETED,
    "apart": COMPLETED,
    "hopeless": FAILED,
    "fatal": FAILED,
}
SHARES = {"works": 70, "flaky": 10, "again": 5, "apart": 5, "hopeless": 5, "fatal": 5}
ROWS = Sql("SELECT id, type, status, crashes, attempts, lease, result, error FROM job_order")
SETTINGS = {"jobs": "tests.crash.jobs,tests.crash.mixed", "max_workers": 4}


def batch(site: Site, chance: random.Random) -> list[NewOrder]:
    """Orders of all kinds, classes and queues."""
    kinds = chance.choices(list(SHARES), list(SHARES.values()), k=BATCH)
    return [
        NewOrder(
            new,
            f"mixed.{kind}",
            site.effects.payload(ms=chance.choice((0, 0, 1, 5, 20))),
            queue=chance.choice(QUEUES),
            priority=chance.choice(list(PRIORITIES.values())),
            max_attempts=chance.choice((2, 3)),
        )
        for new, kind in zip(ledger.new_ids(BATCH), kinds, strict=True)
    ]


@contextmanager
def repeated(step: Callable[[], None], seconds: float) -> Iterator[None]:
    """Repeat a step on a thread of its own, so often, until the end."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds):
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_every_order_ends_in_exactly_one_recorded_outcome(site: Site) -> None:
    chance = random.Random(7)
    living = site.managers(3, **SETTINGS)
    submitted: list[str] = []
    cancelled: set[str] = set()
    killed: list[int] = []

    def kill_one() -> None:
        victim = living.pop(chance.randrange(3))
        victim.kill()
        killed.append(victim.pid)
        living.append(site.manager(**SETTINGS))

    def cancel_some() -> None:
        for order in chance.sample(submitted, min(5, len(submitted))):
            try:
                ledger.cancel(site.database, order)
                cancelled.add(order)
            except MoveRefused:
                pass  # it has ended already: the first commit won
        site.database.close()

    with repeated(kill_one, KILL_SECONDS), repeated(cancel_some, 0.02):
        while len(submitted) < ORDERS:
            wait_until(lambda: counted(site.database).get(PENDING, 0) < BACKLOG, "it flows", 60)
            orders = batch(site, chance)
            ledger.submit(site.database, [Request(orders)])
            submitted += [order.id for order in orders]
        wait_until(lambda: len(killed) >= 3, "three managers were killed", 60)
    wait_until(lambda: set(counted(site.database)) <= set(ENDED), "all orders end", 90)

    check(site, submitted, cancelled)
    api = site.api()
    shown = json.loads(api.ask("/api/v1/metrics").body)
    counts = counted(site.database)
    assert shown["total"] == ORDERS
    assert shown["tasks"] == {
        "pending": counts.get(PENDING, 0),
        "inProgress": counts.get(WIP, 0),
        "completed": counts[COMPLETED],
        "failed": counts[FAILED],
    }
    assert shown["cancelled"] == counts[CANCELLED]
    print(f"{len(killed)} managers killed, {counts}")


def check(site: Site, submitted: list[str], cancelled: set[str]) -> None:
    """Each order stands where its kind, a cancel or three crashes let it end, and its events, its
    history and the tallies say the same."""
    rows = {text_id(row[0]): row[1:] for row in site.database.read(ROWS)}
    assert rows.keys() == set(submitted)
    for order, (kind, status, crashes, attempts, lease, result, error) in rows.items():
        if status == CANCELLED:
            assert order in cancelled
        elif crashes >= ledger.MAX_CRASHES:
            assert (status, json.loads(error)["type"]) == (FAILED, "Crashed")
        else:
            assert status == ENDS[kind.removeprefix("mixed.")], (order, kind, error)
            assert status == FAILED or int(result) == lease
        assert order not in cancelled or status == CANCELLED
        assert crashes <= attempts <= lease
    assert counted(site.database) == levels(site.database)
    ends = Counter(
        one
        for event in events(site.database)
        if event.kind in ("completed", "failed", "crashed", "cancelled")
        for one in event.ids
    )
    assert ends == Counter(submitted), "an order has not exactly one outcome on record"
    runs = Counter((effect.order, effect.lease) for effect in site.effects.all("began"))
    assert set(runs.values()) == {1}, "a lease, which is a fencing token, stood for two runs"
    assert any(row[2] for row in rows.values()), "no kill hit an order"

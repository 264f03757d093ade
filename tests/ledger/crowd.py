"""A crowd on the ledger: managers, rescuers and people in threads, over the same few orders.

Each notes what it was told, so that all of it can be held against the record at the end.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import ledger
from database import Database, Sql, Transaction
from ledger import Beat, Claimed, LedgerError, ManagerCard, Request
from models import CANCELLED, COMPLETED, PENDING, STATUSES
from tests.factories import EVERY_LANE, ending, new_order
from tests.ledger.model import NoDelay, report

T = TypeVar("T")

Lease = tuple[str, int]

THREADS = 8
ORDERS = 300
HELD = 80
# Short, so that some of the beats come too late.
STALE_MS = 60
IDS = Sql("SELECT id FROM job_order")

# How reports end, by how often.
HOW = {"completed": 6, "retry": 3, "failed": 2, "crashed": 1, "handed back": 2, "given back": 1}


class Watched(Database):
    """Counts how often a transaction had to be begun anew."""

    def __init__(self, url: str, *, connections: int = 20) -> None:
        super().__init__(url, connections=connections)
        self._repeats: list[int] = []

    @property
    def repeats(self) -> int:
        return len(self._repeats)

    def write(self, work: Callable[[Transaction], T]) -> T:
        tries = 0

        def counted(transaction: Transaction) -> T:
            nonlocal tries
            tries += 1
            if tries > 1:
                self._repeats.append(tries)
            return work(transaction)

        return super().write(counted)


class Crowd:
    """All of them, and what they were told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.stop = threading.Event()
        self.claims: list[Lease] = []
        # How each lease ended, by whoever was told that it did: the status it went to, and the
        # outcome that its attempt has when it goes into the history.
        self.outcomes: list[tuple[Lease, str, str]] = []
        self.did: Counter[str] = Counter()
        self._lock = threading.Lock()

    def _count(self, what: str, times: int) -> None:
        with self._lock:
            self.did[what] += times

    def works(self, seed: int = 1) -> list[Callable[[], None]]:
        """One for each thread."""
        chances = (random.Random(f"{seed}/{nth}") for nth in count())
        steps = [self.person(next(chances)) for _ in range(2)]
        steps += [self.rescue, self.fold]
        # What the first did not renew only it takes back, since it beats; of the other, who has no
        # row, anybody does.
        self._register("first")
        for name in ("first", "second"):
            held: dict[Lease, Claimed] = {}
            lost: list[Claimed] = []
            steps.append(self.worker(name, held, lost, next(chances)))
            steps.append(self.heart(name, held, lost, next(chances)))
        assert len(steps) == THREADS
        return [self._again(step) for step in steps]

    def _again(self, step: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not self.stop.is_set():
                    step()
            finally:
                self.stop.set()
                self.database.close()

        return run

    def _register(self, name: str) -> None:
        card = ManagerCard(name, "host", 1, "0", "database", HELD, None, STALE_MS // 3, STALE_MS)
        ledger.register(self.database, card)

    def worker(
        self, name: str, held: dict[Lease, Claimed], lost: list[Claimed], chance: random.Random
    ) -> Callable[[], None]:
        """Claims and reports; now and then it forgets, and reports late."""

        def step() -> None:
            if len(held) < HELD:
                taken = ledger.claim(self.database, name, EVERY_LANE, chance.randint(1, 40))
                self._claimed(taken)
                held.update({(order.id, order.lease): order for order in taken})
            some = _some(chance, list(held), 40)
            reports = [order for lease in some if (order := held.pop(lease, None))]
            reports += [lost.pop() for _ in range(min(len(lost), chance.randint(0, 2)))]
            chance.shuffle(reports)
            self._finish(name, reports, chance)
            some = _some(chance, list(held), 3)
            lost.extend(order for lease in some if (order := held.pop(lease, None)))

        return step

    def heart(
        self, name: str, held: dict[Lease, Claimed], lost: list[Claimed], chance: random.Random
    ) -> Callable[[], None]:
        """Renews what the worker holds, at the same time."""

        def step() -> None:
            leases = _some(chance, list(held), 2 * HELD)
            beats = [Beat(order_id, lease, name, 1) for order_id, lease in leases]
            gone = [(one.id, one.lease) for one in ledger.renew(self.database, name, beats)]
            self._count("renewed", len(beats) - len(gone))
            # Some of them were only finished meanwhile.
            lost.extend(order for lease in gone if (order := held.pop(lease, None)))

        return step

    def _claimed(self, taken: list[Claimed]) -> None:
        self.claims += [(order.id, order.lease) for order in taken]
        self._count("claimed", len(taken))

    def _finish(self, name: str, orders: list[Claimed], chance: random.Random) -> None:
        hows = chance.choices(list(HOW), list(HOW.values()), k=len(orders))
        endings = [report(order, how) for order, how in zip(orders, hows, strict=True)]
        late = ledger.finish(self.database, name, endings)
        self._count("late", len(late))
        for end in endings:
            if end not in late:
                self._ended((end.id, end.lease), end.to, end.outcome)

    def _ended(self, lease: Lease, to: str, outcome: str) -> None:
        # What ends for good comes into the history only when it is retried, as what it was.
        self.outcomes.append((lease, to, outcome if to == PENDING else to))
        self._count(outcome, 1)

    def rescue(self) -> None:
        """Takes back what is silent."""
        rescued = ledger.rescue(self.database, STALE_MS, rng=NoDelay())
        rescued += ledger.rescue_own(self.database, STALE_MS, "first", (), rng=NoDelay())
        for one in rescued:
            self._ended((one.id, one.lease), one.status, "worker_lost")
        self._count("rescued", len(rescued))

    def person(self, chance: random.Random) -> Callable[[], None]:
        """Cancels, retries and deletes, and submits anew what was deleted."""

        def step() -> None:
            ids = self._ids()
            for order in ledger.cancel_many(self.database, _some(chance, ids, 25)):
                self._count("cancelled", 1)
                if order.manager is not None:  # it was in progress
                    self._ended((order.id, order.lease), CANCELLED, "cut short")
            for one in _some(chance, ids, 12):
                self._count("retried", self._retry(one))
            if chance.random() < 0.5:
                self._count("deleted", ledger.delete_many(self.database, _some(chance, ids, 60)))
            if len(ids) < ORDERS:
                more = [new_order(priority=chance.randint(1, 3)) for _ in range(ORDERS - len(ids))]
                ledger.submit(self.database, [Request(more)])

        return step

    def _retry(self, order_id: str) -> bool:
        try:
            ledger.retry(self.database, order_id)
        except LedgerError:
            return False
        return True

    def fold(self) -> None:
        """Folds the tallies, and reads them."""
        self._count("folded", ledger.fold(self.database))
        now = ledger.levels(self.database).by_status
        assert set(now) <= set(STATUSES)
        assert min(now.values(), default=0) >= 0, f"a move without its tally: {now}"

    def drain(self) -> None:
        """One more round in which nobody fails: what is left is taken back, run and completed."""
        self.rescue()
        taken = ledger.claim(self.database, "last", EVERY_LANE, 2 * ORDERS)
        self._claimed(taken)
        assert ledger.finish(self.database, "last", [ending(order) for order in taken]) == []
        for order in taken:
            self._ended((order.id, order.lease), COMPLETED, "succeeded")

    def _ids(self) -> list[str]:
        return [_text(row[0]) for row in self.database.read(IDS)]


def _some(chance: random.Random, all_of_them: list[Any], most: int) -> list[Any]:
    """Some of them, in any order."""
    return chance.sample(all_of_them, min(len(all_of_them), chance.randint(0, most)))


def _text(raw: Any) -> str:
    return raw if isinstance(raw, str) else next(ledger.unpack(raw))

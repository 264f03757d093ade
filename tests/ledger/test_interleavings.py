"""Two managers, their crashes and late reports, and people between them, in any interleaving.

Hypothesis drives the ledger and a model of it side by side and compares them after each step.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import ledger
from database import Database, Sql, Transaction
from ledger import Beat, Claimed, Ending, LedgerError
from models import (
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    NOTHING,
    PENDING,
    STATUSES,
    TABLES,
    WIP,
)
from tests.factories import EVERY_LANE, claim, make_stale, new_order
from tests.ledger import evidence
from tests.ledger.model import BRINGS, LATE, ModelOrder, NoDelay, report

# PostgreSQL takes ten times as long for an example; the model and the guards are the same.
EXAMPLES = {"sqlite": 400, "postgresql": 60}
STEPS = 50
# For the same reason a failure is made small on SQLite only.
PHASES = {
    "sqlite": (Phase.generate, Phase.shrink),
    "postgresql": (Phase.generate,),
}
# Few orders at a time: what is interesting happens when several hands reach for the same one.
MOST = 4

ROWS = Sql(
    "SELECT id, status, lease, attempts, crashes, max_attempts, manager, result, error "
    "FROM job_order"
)
ATTEMPTS = Sql("SELECT order_id, lease FROM attempt ORDER BY lease")

MANAGERS = st.sampled_from(("first", "second"))
ANY = st.integers(0, 30)
HOW = st.sampled_from(("completed", "failed", "retry", "crashed", "handed back", "given back"))
REPORTS = st.lists(st.tuples(ANY, HOW), min_size=1, max_size=4)
STEERABLE = {
    "cancel": (PENDING, WIP),
    "retry": (FAILED, CANCELLED),
    "retrieve": (COMPLETED,),
    "delete": ENDED,
}


class Interleavings(RuleBasedStateMachine):
    """The ledger on one database, the model, and what each manager believes that it holds."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.orders: dict[str, ModelOrder] = {}
        self.held: dict[str, list[Claimed]] = {"first": [], "second": []}
        # What a manager forgot or lost: a worker of it may still report, much later.
        self.forgotten: list[tuple[str, Claimed]] = []
        self.reported: list[tuple[str, Ending]] = []
        self.leases: dict[str, int] = {}
        database.write(_empty)
        # Hypothesis leaves out some rules in each run: there is work even where it is submitting.
        for most in (1, 2):
            self.submit_some(1, 2, most)

    @precondition(lambda self: sum(o.status != NOTHING for o in self.orders.values()) < MOST)
    @rule(count=st.integers(1, 2), priority=st.integers(1, 3), most=st.integers(1, 2))
    def submit(self, count: int, priority: int, most: int) -> None:
        self.submit_some(count, priority, most)

    def submit_some(self, count: int, priority: int, most: int) -> None:
        orders = [new_order(priority=priority, max_attempts=most) for _ in range(count)]
        ledger.submit(self.database, [ledger.Request(orders)])
        for order in orders:
            self.orders[order.id] = ModelOrder(most, came=Counter({PENDING: 1}))

    @precondition(lambda self: any(order.status == PENDING for order in self.orders.values()))
    @rule(manager=MANAGERS, free=st.integers(1, 3))
    def claim(self, manager: str, free: int) -> None:
        pending = {i for i, order in self.orders.items() if order.status == PENDING}
        claimed = claim(self.database, manager, free)
        assert len(claimed) == min(free, len(pending))
        for got in claimed:
            assert got.id in pending
            order = self.orders[got.id]
            order.claim(manager)
            assert (got.lease, got.attempts, got.crashes) == (
                order.lease,
                order.attempts,
                order.crashes,
            )
        self.held[manager] += claimed

    @precondition(lambda self: any(self.held.values()))
    @rule(manager=MANAGERS, began=st.booleans())
    def renew(self, manager: str, began: bool) -> None:
        beats = {
            (o.id, o.lease): Beat(o.id, o.lease, "w", 5) if began else Beat(o.id, o.lease)
            for o in self.held[manager]
        }
        lost = ledger.renew(self.database, manager, list(beats.values()))
        expected = set()
        for order_id, lease in beats:
            order = self.orders[order_id]
            if order.is_held_under(lease):
                order.stale = False
            else:
                expected.add((order_id, lease, order.status))
        assert {tuple(one) for one in lost} == expected
        gone = {(one.id, one.lease) for one in lost}
        stopped = [o for o in self.held[manager] if (o.id, o.lease) in gone]
        self.held[manager] = [o for o in self.held[manager] if (o.id, o.lease) not in gone]
        self.forgotten += [(manager, order) for order in stopped]

    @precondition(lambda self: any(self.held.values()))
    @rule(manager=MANAGERS, reports=REPORTS)
    def finish(self, manager: str, reports: list[tuple[int, str]]) -> None:
        endings = []
        for place, how in reports:
            if self.held[manager]:
                order = self.held[manager].pop(place % len(self.held[manager]))
                endings.append(report(order, how))
        self._finish(manager, endings)

    @precondition(lambda self: self.forgotten)
    @rule(reports=REPORTS, with_held=st.booleans())
    def report_late(self, reports: list[tuple[int, str]], with_held: bool) -> None:
        """What was forgotten is reported all the same, perhaps beside what is still held.

        The same order under its new lease before all: a manager may have claimed it anew.
        """
        place, how = reports[0]
        manager, order = self.forgotten.pop(place % len(self.forgotten))
        endings = [report(order, how)]
        if with_held and self.held[manager]:
            beside = max(self.held[manager], key=lambda held: held.id == order.id)
            self.held[manager].remove(beside)
            endings.append(report(beside, reports[-1][1]))
        self._finish(manager, endings)

    @precondition(lambda self: self.reported)
    @rule(place=ANY)
    def report_again(self, place: int) -> None:
        """The same report comes once more; whoever sends it knows of no earlier one."""
        manager, ending = self.reported[place % len(self.reported)]
        self._finish(manager, [ending])

    def _finish(self, manager: str, endings: list[Ending]) -> None:
        late = ledger.finish(self.database, manager, endings)
        expected = [ending for ending in endings if not self.orders[ending.id].finish(ending)]
        assert sorted((e.id, e.lease) for e in late) == sorted((e.id, e.lease) for e in expected)
        self.reported += [(manager, ending) for ending in endings]

    @precondition(lambda self: any(self.held.values()))
    @rule(manager=MANAGERS)
    def crash(self, manager: str) -> None:
        self.forgotten += [(manager, order) for order in self.held[manager]]
        self.held[manager] = []

    @precondition(lambda self: any(order.status == WIP for order in self.orders.values()))
    @rule(places=st.lists(ANY, min_size=1, max_size=3))
    def fall_silent(self, places: list[int]) -> None:
        running = [i for i, order in self.orders.items() if order.status == WIP]
        for place in places:
            order_id = running[place % len(running)]
            make_stale(self.database, order_id)
            self.orders[order_id].stale = True

    @precondition(lambda self: any(order.status == WIP for order in self.orders.values()))
    @rule()
    def rescue(self) -> None:
        rescued = ledger.rescue(self.database, 600_000, rng=NoDelay())
        stale = {i for i, o in self.orders.items() if o.status == WIP and o.stale}
        assert {one.id for one in rescued} == stale
        for one in rescued:
            order = self.orders[one.id]
            assert (one.lease, one.manager) == (order.lease, order.manager)
            order.rescue()
            assert one.status == order.status

    @precondition(lambda self: self.orders)
    @rule(place=ANY, name=st.sampled_from(("cancel", "retry", "retrieve", "delete")))
    def steer(self, place: int, name: str) -> None:
        order_id, order = list(self.orders.items())[place % len(self.orders)]
        # Half of the time at one that it can move: of all moves, these are the rarest by chance.
        if place % 2:
            able = [i for i, o in self.orders.items() if o.status in STEERABLE[name]]
            order_id = able[place % len(able)] if able else order_id
            order = self.orders[order_id]
        try:
            moved = bool(getattr(ledger, name)(self.database, order_id))
        except LedgerError:
            moved = False
        assert moved == getattr(order, name)()

    @precondition(lambda self: self.reported)
    @rule()
    def fold(self) -> None:
        ledger.fold(self.database)

    @invariant()
    def every_order_is_what_the_model_says(self) -> None:
        rows = {_text(row[0]): row[1:] for row in self.database.read(ROWS)}
        alive = {i: o for i, o in self.orders.items() if o.status != NOTHING}
        assert rows.keys() == alive.keys(), "an order was lost, or came from nowhere"
        for order_id, order in alive.items():
            status, lease, attempts, crashes, most, manager, result, error = rows[order_id]
            assert status == order.status
            assert (lease, attempts, crashes) == (order.lease, order.attempts, order.crashes)
            assert manager == order.manager
            assert lease >= self.leases.get(order_id, 0), "a lease only grows"
            self.leases[order_id] = lease
            assert 0 <= attempts - crashes <= most == order.max_attempts
            assert result == order.result, "a result of a lost lease"
            if order.error == "Crashed":
                assert json.loads(error)["type"] == "Crashed"
            else:
                assert error == order.error, "an error of a lost lease"

    @invariant()
    def history_has_each_earlier_attempt_once(self) -> None:
        history: dict[str, list[int]] = {}
        for order_id, lease in self.database.read(ATTEMPTS):
            history.setdefault(_text(order_id), []).append(lease)
        assert history == {i: o.history for i, o in self.orders.items() if o.history}

    @invariant()
    def levels_equal_the_table(self) -> None:
        counted = Counter(o.status for o in self.orders.values() if o.status != NOTHING)
        assert evidence.levels(self.database) == counted
        assert set(counted) <= set(STATUSES)

    def teardown(self) -> None:
        """Each move and each late report left its order in exactly one event, and one tally."""
        came: dict[str, Counter[str]] = {order_id: Counter() for order_id in self.orders}
        late: Counter[str] = Counter()
        for event in evidence.events(self.database):
            for order_id in event.ids:
                if event.kind == LATE:
                    late[order_id] += 1
                else:
                    came[order_id][BRINGS[event.kind]] += 1
        assert came == {order_id: order.came for order_id, order in self.orders.items()}
        assert late == Counter({i: o.late for i, o in self.orders.items() if o.late})
        moved: Counter[str] = Counter()
        for (_, after), n in evidence.moves(self.database).items():
            moved[after] += n
        assert moved == sum((order.came for order in self.orders.values()), Counter())


def _empty(transaction: Transaction) -> None:
    for table in TABLES:
        transaction.run(Sql(f"DELETE FROM {table._meta.table_name}"))


def _text(order_id: Any) -> str:
    return order_id if isinstance(order_id, str) else next(ledger.unpack(order_id))


def test_no_interleaving_loses_or_doubles_anything(database: Database) -> None:
    assert {lane.queue for lane in EVERY_LANE} == {"default"}
    run_state_machine_as_test(
        partial(Interleavings, database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES[database.dialect],
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            phases=PHASES[database.dialect],
            deadline=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )

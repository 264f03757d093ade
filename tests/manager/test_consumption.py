"""The watchdog over the claims: it acts when work waits in vain, and only then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

import ledger
from database import Database, Transaction
from ledger import Request
from manager import consumption
from manager.claimer import Claimer
from manager.claiming import Claiming
from manager.consumption import ConsumptionWatchdog
from manager.outcome import HANDED_BACK, Outcome
from models import COMPLETED, PENDING, WIP
from tests.factories import new_order, submit
from tests.ledger import evidence
from tests.manager.by_hand import ByHand, Unlucky, assignment
from tests.manager.vain import claims_take_again, no_claim_takes
from tests.support import wait_until

T = TypeVar("T")
HOUR = 3_600_000


class Stuck(Database):
    """A database whose next write, once told so, hangs until it is let go: before it is done, or
    when it is done and only its answer is missing."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.hangs = ""
        self.hung = threading.Event()
        self.let_go = threading.Event()

    def write(self, work: Callable[[Transaction], T]) -> T:
        hangs, self.hangs = self.hangs, ""
        if hangs == "before":
            self._hang()
        result = super().write(work)
        if hangs == "after":
            self._hang()
        return result

    def _hang(self) -> None:
        self.hung.set()
        assert self.let_go.wait(20)


class Watched:
    """A manager by hand whose claims run in their loop, under a watchdog without patience."""

    def __init__(self, database: Database) -> None:
        self.hand = ByHand(database)
        self.made = 0
        self.claiming = Claiming(self._make)
        self.watchdog = ConsumptionWatchdog(
            database,
            self.claiming,
            self.hand.pool,
            (),
            0,
            unwritten=self.hand.writer.unwritten,
            is_steady=lambda _seconds: self.steady,
            least_seconds=0,
        )
        self.steady = True
        self.given_up = 0
        self.watchdog.give_up = self._give_up

    def _make(self) -> Claimer:
        self.made += 1
        hand = self.hand
        return Claimer(
            hand.database,
            hand.name,
            pool=hand.pool,
            leases=hand.leases,
            source=hand.claimer._source,
            pace=hand.pace,
            execute=hand.executor.execute,
            deliver=hand._deliver,
            behind=hand.writer.is_behind,
            poll_seconds=0.01,
        )

    def _give_up(self) -> None:
        self.given_up += 1

    def look(self) -> bool:
        self.watchdog.tick()
        return True

    def work_off(self) -> None:
        """Run and write what was claimed."""
        self.hand.run_all()
        self.hand.drain()


@pytest.fixture
def stuck(database_url: str, database: Database) -> Iterator[Stuck]:
    opened = Stuck(database_url)
    yield opened
    opened.let_go.set()
    opened.close()


@pytest.fixture
def watched(stuck: Stuck) -> Iterator[Watched]:
    made = Watched(stuck)
    yield made
    stuck.let_go.set()
    made.claiming.stop()


def waiting(database: Database) -> str:
    """An order that has been due for an hour."""
    order = submit(database)
    evidence.waited(database, order, HOUR)
    return order


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_claim_that_hangs_is_left_behind(stuck: Stuck, watched: Watched, when: str) -> None:
    first, second = waiting(stuck), waiting(stuck)
    stuck.hangs = when
    watched.claiming.start()
    assert stuck.hung.wait(20)
    assert ledger.find(stuck, first).status == {"before": PENDING, "after": WIP}[when]

    watched.watchdog.tick()
    wait_until(watched.hand.leases.held, "the new loop claims, or adopts")
    watched.work_off()
    stuck.let_go.set()

    def all_done() -> bool:
        watched.work_off()
        watched.claiming.wake()
        return evidence.counted(stuck) == {COMPLETED: 2}

    wait_until(all_done, "both orders end")
    assert watched.given_up == 0
    assert {ledger.find(stuck, one).crashes for one in (first, second)} == {0}
    ends = [one for event in evidence.events(stuck, "completed") for one in event.ids]
    assert sorted(ends) == sorted([first, second])


def test_what_an_old_claim_brings_late_is_handed_back(stuck: Stuck, watched: Watched) -> None:
    order = waiting(stuck)
    claimer = watched._make()
    stuck.hangs = "after"
    step = threading.Thread(target=claimer.step)
    step.start()
    assert stuck.hung.wait(20)
    claimer.retire()
    stuck.let_go.set()
    step.join(20)
    assert watched.hand.run_all() == 0
    watched.hand.drain()
    found = ledger.find(stuck, order)
    assert (found.status, found.attempts, found.crashes) == (PENDING, 0, 0)
    assert not watched.hand.leases.held()


def test_what_a_claim_brings_after_a_stop_is_handed_back(stuck: Stuck, watched: Watched) -> None:
    order = waiting(stuck)
    stuck.hangs = "after"
    watched.claiming.start()
    assert stuck.hung.wait(20)
    assert not watched.claiming.stop(0)
    stuck.let_go.set()
    assert watched.claiming.stop()
    assert watched.hand.run_all() == 0
    watched.hand.drain()
    assert ledger.find(stuck, order).status == PENDING


def test_when_that_does_not_help_the_manager_gives_up(stuck: Stuck, watched: Watched) -> None:
    waiting(stuck)
    no_claim_takes(stuck)
    watched.claiming.start()

    def acts() -> bool:
        # A claim in vain holds the order locked for a moment: then it does not count.
        watched.watchdog.tick()
        return watched.given_up == 2

    wait_until(acts, "it gives up")
    assert watched.made == 2, "the loop was to be built anew once"
    claims_take_again(stuck)
    wait_until(watched.hand.leases.held, "it is taken")
    watched.work_off()
    watched.watchdog.tick()
    waiting(stuck)
    wait_until(watched.hand.leases.held, "the next is taken")
    assert watched.given_up == 2


def test_nothing_is_wrong_while_nothing_waits_or_no_worker_is_free(database: Database) -> None:
    watched = Watched(database)
    for _ in range(3):
        watched.watchdog.tick()
    ledger.submit(database, [Request([new_order(delay_ms=HOUR)])])
    watched.watchdog.tick()
    waiting(database)
    ledger.pause(database, "default")
    watched.watchdog.tick()
    ledger.resume(database, "default")
    watched.hand.pool._queue("busy", lambda: None)
    watched.watchdog.tick()
    assert watched.made == 1, "a loop was built anew"
    assert watched.given_up == 0


def in_vain(watched: Watched, stuck: Stuck) -> None:
    """Work waits and the loop takes none; the watchdog has not looked yet."""
    waiting(stuck)
    no_claim_takes(stuck)
    watched.claiming.start()


def test_a_database_in_trouble_is_no_fault_of_the_loop(stuck: Stuck, watched: Watched) -> None:
    in_vain(watched, stuck)
    watched.steady = False
    for _ in range(20):
        watched.watchdog.tick()
    assert watched.made == 1
    watched.steady = True
    wait_until(lambda: watched.look() and watched.made == 2, "now it is")


def test_a_claim_that_the_database_refuses_is_no_fault_of_the_loop(
    database: Database, unlucky: Unlucky
) -> None:
    watched = Watched(unlucky)
    waiting(database)
    unlucky.refused = 1_000_000
    watched.claiming.start()
    try:
        for _ in range(5):
            before = watched.claiming.excused()
            wait_until(lambda seen=before: watched.claiming.excused() > seen)  # type: ignore[misc]
            watched.watchdog.tick()
        assert watched.made == 1
    finally:
        watched.claiming.stop()


def test_while_the_leases_have_lapsed_it_takes_nothing_with_reason(
    stuck: Stuck, watched: Watched
) -> None:
    waiting(stuck)
    watched.hand.leases.renewed(-1e9)
    watched.claiming.start()
    for _ in range(3):
        before = watched.claiming.excused()
        wait_until(lambda seen=before: watched.claiming.excused() > seen)  # type: ignore[misc]
        watched.watchdog.tick()
    assert watched.made == 1


def test_a_manager_that_was_frozen_is_not_to_blame_for_that_time(
    stuck: Stuck, watched: Watched
) -> None:
    in_vain(watched, stuck)
    watched.watchdog.patience_seconds = HOUR
    watched.watchdog.tick()
    assert watched.watchdog._looked is not None
    watched.watchdog._looked -= 10 * HOUR
    watched.watchdog.tick()
    assert watched.made == 1


def test_outcomes_are_written_before_it_gives_up(stuck: Stuck, watched: Watched) -> None:
    in_vain(watched, stuck)
    wait_until(lambda: watched.look() and watched.made == 2, "built anew")
    watched.hand.writer.put(assignment(), Outcome(HANDED_BACK))
    for _ in range(20):
        watched.watchdog.tick()
    assert watched.given_up == 0
    watched.hand.drain()
    wait_until(lambda: watched.look() and watched.given_up > 0, "it gives up")


def test_queues_in_which_nothing_waits_cost_no_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        ledger.resume(database, f"used once {number}")
    submit(database, queue="full")
    looked: list[str] = []

    def waits(_database: Database, lanes: list[ledger.Lane]) -> bool:
        looked.extend(lane.queue for lane in lanes)
        return False

    monkeypatch.setattr(consumption, "waits", waits)
    assert not Watched(database).watchdog._work_waits()
    assert set(looked) == {"full"}

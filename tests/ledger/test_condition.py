"""The state of the system: causes must last, a state outlives its cause, and times are theirs."""

from __future__ import annotations

from ledger.condition import (
    HIGH_LOAD,
    RECOVERING,
    STABLE,
    Memory,
    Signs,
    State,
    Trouble,
    judge,
    remember,
)

START = 1_800_000_000_000


def at(second: float) -> int:
    return START + round(second * 1000)


class Watch:
    """Somebody who looks now and then, and remembers."""

    def __init__(self) -> None:
        self.memory = Memory(begun_on=at(0), sampled_on=0)

    def sees(
        self,
        second: float,
        *,
        waiting: float | None = None,
        loaded: bool = False,
        trouble: float | None = None,
    ) -> State:
        """`waiting` seconds waits the oldest that could run; a trouble was at that second."""
        since = None if waiting is None else at(second - waiting)
        troubles = [] if trouble is None else [Trouble(at(trouble), at(trouble), "it broke")]
        signs = Signs(at(second), since, loaded, troubles)
        self.memory = remember(self.memory, signs)
        return judge(self.memory, signs)

    def status(self, second: float, **signs: float | bool) -> str:
        return self.sees(second, **signs).status  # type: ignore[arg-type]


def test_load_must_last_a_minute_and_is_left_after_a_minute() -> None:
    watch = Watch()
    assert watch.status(0, loaded=True) == STABLE
    assert watch.status(59, loaded=True) == STABLE
    assert watch.status(60, loaded=True) == HIGH_LOAD
    assert watch.status(61) == HIGH_LOAD
    assert watch.status(119) == HIGH_LOAD
    assert watch.status(120) == STABLE


def test_load_that_is_interrupted_begins_again() -> None:
    watch = Watch()
    assert watch.status(0, loaded=True) == STABLE
    assert watch.status(30) == STABLE
    assert watch.status(31, loaded=True) == STABLE
    assert watch.status(90, loaded=True) == STABLE
    assert watch.status(91, loaded=True) == HIGH_LOAD


def test_high_load_goes_on_while_its_cause_comes_back_within_a_minute() -> None:
    watch = Watch()
    watch.sees(0, loaded=True)
    assert watch.status(60, loaded=True) == HIGH_LOAD
    assert watch.status(70) == HIGH_LOAD
    assert watch.status(110, loaded=True) == HIGH_LOAD
    assert watch.status(169, loaded=True) == HIGH_LOAD, "it was never without cause for a minute"
    assert watch.sees(170).since == at(0)
    assert watch.sees(229) == State(STABLE, watch.sees(229).reason, at(229))


def test_a_long_wait_proves_itself() -> None:
    assert Watch().status(0, waiting=89) == STABLE
    assert Watch().sees(0, waiting=91)[::2] == (HIGH_LOAD, at(-61))
    watch = Watch()
    assert watch.status(0, waiting=31) == STABLE
    assert watch.status(58, waiting=31) == STABLE, "others that wait for as long"
    assert watch.sees(59, waiting=31)[::2] == (HIGH_LOAD, at(-1))


def test_a_trouble_shows_for_a_minute_and_goes_before_load() -> None:
    watch = Watch()
    assert watch.status(0, waiting=500) == HIGH_LOAD
    assert watch.sees(1, waiting=501, trouble=0.5)[::2] == (RECOVERING, at(0.5))
    assert watch.status(60, waiting=560) == RECOVERING
    assert watch.sees(61, waiting=561)[::2] == (HIGH_LOAD, at(-470))
    assert watch.sees(122)[::2] == (STABLE, at(121))


def test_troubles_within_a_minute_of_each_other_are_one() -> None:
    watch = Watch()
    for second in (10, 60, 110):
        assert watch.sees(second + 1, trouble=second)[::2] == (RECOVERING, at(10))
    assert watch.sees(169)[::2] == (RECOVERING, at(10))
    assert watch.sees(170)[::2] == (STABLE, at(170))
    assert watch.sees(200)[::2] == (STABLE, at(170))
    assert watch.sees(300, trouble=299)[::2] == (RECOVERING, at(299))


def test_since_is_that_of_the_cause_whoever_looks_when() -> None:
    early, late = Watch(), Watch()
    for second in range(200):
        early.sees(second, trouble=100 if second >= 100 else None)
    assert early.memory == late.memory._replace(
        trouble_from=at(100), trouble_until=at(100), trouble="it broke"
    )
    assert late.sees(130, trouble=100).since == early.sees(130, trouble=100).since == at(100)
    assert late.sees(199)[::2] == early.sees(199)[::2] == (STABLE, at(160))


def test_an_outage_counts_from_its_end_and_is_told_from_its_begin() -> None:
    signs = Signs(at(90), troubles=[Trouble(at(10), at(80), "the database was away for 70 s")])
    state = judge(remember(Memory(at(0), 0), signs), signs)
    assert (state.status, state.since) == (RECOVERING, at(10))
    assert "70 s" in state.reason


def test_without_any_cause_it_is_stable_since_it_was_set_up() -> None:
    assert Watch().sees(5)[::2] == (STABLE, at(0))

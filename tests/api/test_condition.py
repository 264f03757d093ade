"""The state of the system: causes must last, and a state outlives its cause."""

from __future__ import annotations

from api.condition import HIGH_LOAD, RECOVERING, STABLE, Condition, Signs

START = 1_800_000_000_000


def seen(
    condition: Condition,
    second: float,
    *,
    waiting: float = 0,
    loaded: bool = False,
    trouble: float | None = None,
) -> str:
    now = START + round(second * 1000)
    when = None if trouble is None else START + round(trouble * 1000)
    return condition.observe(Signs(now, when, round(waiting * 1000), loaded)).status


def test_load_must_last_a_minute_and_is_left_after_a_minute() -> None:
    condition = Condition()
    assert seen(condition, 0, loaded=True) == STABLE
    assert seen(condition, 59, loaded=True) == STABLE
    assert seen(condition, 60, loaded=True) == HIGH_LOAD
    assert seen(condition, 61) == HIGH_LOAD
    assert seen(condition, 119) == HIGH_LOAD
    assert seen(condition, 120) == STABLE


def test_load_that_is_interrupted_begins_again() -> None:
    condition = Condition()
    assert seen(condition, 0, loaded=True) == STABLE
    assert seen(condition, 30) == STABLE
    assert seen(condition, 31, loaded=True) == STABLE
    assert seen(condition, 90, loaded=True) == STABLE
    assert seen(condition, 91, loaded=True) == HIGH_LOAD


def test_a_long_wait_proves_itself() -> None:
    assert seen(Condition(), 0, waiting=89) == STABLE
    assert seen(Condition(), 0, waiting=91) == HIGH_LOAD
    condition = Condition()
    assert seen(condition, 0, waiting=31) == STABLE
    assert seen(condition, 60, waiting=31) == HIGH_LOAD


def test_a_long_wait_that_was_not_there_before_must_last() -> None:
    condition = Condition()
    assert seen(condition, 0) == STABLE
    assert seen(condition, 1, waiting=600) == STABLE, "its queue was paused until now"
    assert seen(condition, 59, waiting=658) == STABLE
    assert seen(condition, 60, waiting=659) == HIGH_LOAD


def test_a_rescue_shows_for_a_minute_and_goes_before_load() -> None:
    condition = Condition()
    assert seen(condition, 0, waiting=500) == HIGH_LOAD
    assert seen(condition, 1, waiting=500, trouble=0.5) == RECOVERING
    assert seen(condition, 60, waiting=500) == RECOVERING
    assert seen(condition, 61, waiting=500) == HIGH_LOAD
    assert seen(condition, 122) == STABLE


def test_since_is_when_the_state_began() -> None:
    condition = Condition()
    first = condition.observe(Signs(START, None, 0, False))
    second = condition.observe(Signs(START + 5_000, None, 0, False))
    assert (first.since, second.since) == (START, START)
    third = condition.observe(Signs(START + 9_000, START + 8_000, 0, False))
    assert third.since == START + 9_000
    assert third.reason

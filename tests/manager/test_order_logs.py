"""What runs say, in lines: bounded, and the oldest of it lost first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.assignment import Assignment
from manager.order_logs import (
    DROPPED,
    MOST_LINES,
    MOST_OF_AN_ORDER,
    MOST_RAW,
    MOST_UNENDED,
    MOST_WAITING,
    STDERR,
    STDOUT,
    OrderLogs,
    RunLog,
)
from manager.outcome import SUCCEEDED, Outcome
from tests.manager.by_hand import assignment

Said = list[tuple[str, int | None, str | bytes]]
OUTCOME = Outcome(SUCCEEDED)


@pytest.fixture
def logs() -> OrderLogs:
    return OrderLogs()


def taken(logs: OrderLogs) -> Said:
    """All that waits of the only run."""
    (key,) = logs.waiting() or [("", 0)]
    found = logs.take(key)
    return [(line.stream, line.level, line.raw) for line in found.lines] if found else []


def out(*texts: str | bytes) -> Said:
    return [(STDOUT, None, text) for text in texts]


def test_pieces_become_lines_whatever_they_are(logs: OrderLogs) -> None:
    log = RunLog(logs, assignment())
    for piece in ("on", "e\ntw", "o\n\nthr", "ee"):
        log.write(STDOUT, piece)
    assert taken(logs) == out("one", "two", "")
    log.end()
    assert taken(logs) == out("three"), "what was begun is a line at the end"
    log.write(STDOUT, "late\n")
    assert taken(logs) == []


def test_streams_and_sources_do_not_mix_within_a_line(logs: OrderLogs) -> None:
    log = RunLog(logs, assignment())
    log.write(STDOUT, "a", 1)
    log.write(STDOUT, "b", 2)
    log.write(STDERR, "c", 1)
    for stream, source in ((STDERR, 1), (STDOUT, 2), (STDOUT, 1)):
        log.write(stream, "!\n", source)
    assert taken(logs) == [(STDERR, None, "c!"), (STDOUT, None, "b!"), (STDOUT, None, "a!")]


def test_lines_are_numbered_on_after_they_were_taken(logs: OrderLogs) -> None:
    order = assignment(lease=3, attempts=2)
    log = RunLog(logs, order)
    numbers = []
    for _ in range(3):
        log.write(STDOUT, "a\nb\n")
        found = logs.take((order.id, 3))
        assert found is not None
        assert found.attempt == 2
        numbers.append(found.first)
    assert numbers == [1, 3, 5]


@given(st.lists(st.text("ab\n", max_size=12), max_size=20))
def test_no_line_is_lost_or_made_up(pieces: list[str]) -> None:
    logs = OrderLogs()
    log = RunLog(logs, assignment())
    for piece in pieces:
        log.write(STDOUT, piece)
    log.end()
    whole = "".join(pieces)
    lines = whole.removesuffix("\n").split("\n") if whole else []
    assert taken(logs) == out(*lines)


@pytest.mark.parametrize("big", [False, True])
def test_of_a_flood_the_end_is_kept_and_the_rest_counted(logs: OrderLogs, big: bool) -> None:
    log = RunLog(logs, assignment())
    count = 100_000
    lines = [f"{number:09}" for number in range(count)]
    if big:
        log.write(STDOUT, "\n".join(lines) + "\n")
    else:
        for line in lines:
            log.write(STDOUT, line + "\n")
    mark, *kept = taken(logs)
    assert mark[:2] == (DROPPED, count - len(kept))
    assert kept == out(*lines[-len(kept) :])
    assert MOST_OF_AN_ORDER // 60 < len(kept) < MOST_OF_AN_ORDER // 10


def test_a_flood_of_line_ends_is_counted_too(logs: OrderLogs) -> None:
    log = RunLog(logs, assignment())
    log.write(STDOUT, b"\n" * (10 * MOST_OF_AN_ORDER))
    mark, *kept = taken(logs)
    assert (mark[1], len(kept)) == (10 * MOST_OF_AN_ORDER - MOST_LINES, MOST_LINES)


def test_a_line_without_end_fills_no_memory(logs: OrderLogs) -> None:
    order = assignment()
    log = RunLog(logs, order)
    for _ in range(100):
        log.write(STDOUT, "x" * 10_000)
    log.write(STDOUT, "end\nnext\n")
    found = logs.take((order.id, 1))
    assert found is not None
    assert [(len(line.raw), line.is_cut) for line in found.lines] == [(MOST_RAW, True), (4, False)]


def test_many_threads_that_end_no_line_fill_no_memory(logs: OrderLogs) -> None:
    log = RunLog(logs, assignment())
    for source in range(MOST_UNENDED + 3):
        log.write(STDOUT, str(source), source)
    assert taken(logs) == out("0", "1", "2")


def test_a_gap_is_marked_where_it_is(logs: OrderLogs) -> None:
    log = RunLog(logs, assignment())
    log.write(STDOUT, "before\n")
    log.lose(5)
    log.write(STDOUT, "after\n")
    assert taken(logs) == [*out("before"), (DROPPED, 5, ""), *out("after")]
    log.write(STDOUT, "begun, and its end ")
    log.lose(1, STDOUT)
    log.write(STDOUT, "next\n")
    assert taken(logs) == [(DROPPED, 1, ""), *out("next")]
    log.lose(5)
    log.write(STDOUT, "x\n" * 2 * MOST_LINES)
    mark, *kept = taken(logs)
    assert mark[:2] == (DROPPED, 5 + 2 * MOST_LINES - len(kept)), "lost marks count what they did"


def test_all_orders_together_are_bounded_and_the_oldest_loses_first(logs: OrderLogs) -> None:
    orders = [assignment() for _ in range(2 * MOST_WAITING // MOST_OF_AN_ORDER)]
    for order in orders:
        RunLog(logs, order).write(STDOUT, ("x" * 1_000 + "\n") * 250)
    found = [logs.take((order.id, 1)) for order in orders]
    kept = [sum(len(line.raw) for line in one.lines) if one is not None else 0 for one in found]
    assert sum(kept) < MOST_WAITING
    assert (kept[0], kept[-1]) == (0, 250_000)
    first = found[0]
    assert first is not None
    assert [(line.stream, line.level) for line in first.lines] == [(DROPPED, 250)]
    assert logs.waiting() == []


def test_a_run_is_listened_to_until_it_returns(logs: OrderLogs) -> None:
    def runner(_assignment: Assignment) -> Outcome:
        return OUTCOME

    assert logs.listening(runner)(assignment()) is OUTCOME
    assert logs.waiting() == []

"""What a warden passes on of its child's output: in order, in bounds, and run by run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.feed import END, ERR, MOST_WAITING, NAME_SIZE, OUT, Feed, mark
from manager.prints import Prints

KEEP = 64 * 1024
NAME, OTHER = b"1" * NAME_SIZE, b"2" * NAME_SIZE
MARK = mark(NAME)


class Ends:
    """A feed and who reads it."""

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.control = socket.socketpair()
        self.feed = Feed(self.writer.fileno(), KEEP)
        self._prints = Prints(self.reader, self.control[0])

    def read(self) -> list[tuple[int, int, bytes]]:
        """All that has come by now."""
        found: list[tuple[int, int, bytes]] = []
        while True:
            try:
                found += self._prints._framed(self.reader.recv(65536))
            except BlockingIOError:
                return found

    def send(self) -> list[tuple[int, int, bytes]]:
        """Send all there is now, however little time has passed; what comes."""
        found = []
        while self.feed.patience() != float("inf"):
            self.feed._send()
            found += self.read()
        return found + self.read()

    def close(self) -> None:
        for end in (self.reader, self.writer, *self.control):
            end.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with closing(Ends()) as made:
        yield made


def test_the_first_goes_on_at_once_and_the_rest_after_a_while(ends: Ends) -> None:
    assert ends.feed.patience() == float("inf"), "nothing is to be done"
    ends.feed.take(OUT, b"one\n")
    ends.feed.pass_on()
    assert ends.read() == [(OUT, 0, b"one\n")]
    for text in (b"two\n", b"three\n"):
        ends.feed.take(OUT, text)
        ends.feed.pass_on()
    assert ends.read() == []
    assert 0 < ends.feed.patience() <= 0.25
    assert ends.send() == [(OUT, 0, b"two\nthree\n")]


def test_of_a_flood_the_end_comes_and_how_much_was_lost(ends: Ends) -> None:
    lines = [b"%07d\n" % number for number in range(100_000)]
    for at in range(0, len(lines), 1_000):
        ends.feed.take(ERR, b"".join(lines[at : at + 1_000]))
    assert len(ends.feed.text) <= 2 * KEEP
    ((kind, lost, text),) = ends.send()
    assert kind == ERR
    assert text == b"".join(lines[lost:])
    assert MOST_WAITING - 8 < len(text) <= 2 * MOST_WAITING


def test_one_who_reads_nothing_is_never_waited_for(ends: Ends) -> None:
    for _ in range(1_000):
        ends.feed.take(OUT, b"x" * 9_999 + b"\n")
        ends.feed._send()
    assert ends.feed.patience() <= 0.02
    ends.feed.finish(0.01)
    found = [*ends.read(), *ends.send()]
    assert sum(lost + text.count(b"\n") for _, lost, text in found) == 1_000
    assert sum(len(text) for *_, text in found) < 1_000_000


def test_the_end_of_a_run_goes_on_at_once_when_both_pipes_have_told_it(ends: Ends) -> None:
    ends.feed.pass_on()
    ends.feed.take(OUT, b"one\n" + MARK)
    ends.feed.take(ERR, b"of the first")
    assert ends.read() == []
    ends.feed.take(ERR, MARK)
    assert ends.read() == [(OUT, 0, b"one\n"), (ERR, 0, b"of the first"), (END, 0, NAME)]
    assert ends.feed.text == b""


@pytest.mark.parametrize("kind", [OUT, ERR])
def test_a_mark_that_a_job_printed_ends_no_other_run(ends: Ends, kind: int) -> None:
    """It may be what a client sent; the run's own comes after it, in both pipes."""
    other = OUT if kind == ERR else ERR
    ends.feed.take(kind, mark(OTHER) + b"said later\n" + MARK)
    ends.feed.take(other, b"and here\n")
    assert (END, 0, NAME) not in ends.send()
    ends.feed.take(other, MARK)
    assert ends.send()[-1] == (END, 0, NAME)
    ends.feed.take(kind, b"of the next\n" + mark(OTHER))
    ends.feed.take(other, b"of the next, too\n" + mark(OTHER))
    *texts, end = ends.send()
    assert sorted(text for _, _, text in texts) == [b"of the next\n", b"of the next, too\n"]
    assert end == (END, 0, OTHER)


def test_a_flood_of_marks_takes_no_room(ends: Ends) -> None:
    for number in range(20_000):
        fake = mark(b"%032d" % number)
        ends.feed.take(OUT, fake)
        ends.feed.take(ERR, fake)
    assert len(ends.feed._frames) < 2 * MOST_WAITING
    ends.feed.take(OUT, MARK)
    ends.feed.take(ERR, MARK)
    assert ends.send()[-1] == (END, 0, NAME)


def test_what_is_left_of_a_mark_at_the_end_was_none(ends: Ends) -> None:
    ends.feed.take(OUT, b"killed" + MARK[:9])
    ends.feed.finish(1.0)
    assert ends.read() == [(OUT, 0, b"killed" + MARK[:9])]


def test_a_manager_that_is_gone_is_no_error(ends: Ends) -> None:
    ends.reader.close()
    ends.feed.take(OUT, b"to nobody")
    ends.feed.finish(1.0)
    assert ends.feed.patience() == float("inf")


PIECES = st.lists(st.sampled_from([b"a", b"\n", b"\0", b"\0cap", MARK[:-1], b"text\n"]), max_size=8)


@given(st.lists(PIECES.map(b"".join), max_size=4), st.lists(st.integers(1, 30), min_size=1))
def test_runs_are_told_apart_wherever_reads_cut(runs: list[bytes], cuts: list[int]) -> None:
    runs = [run for run in runs if MARK not in run + MARK[:-1]]
    stream = b"".join(run + MARK for run in runs)
    with closing(Ends()) as ends:
        ends.feed.take(ERR, MARK * len(runs))
        found, number = [], 0
        while stream:
            cut = cuts[number % len(cuts)]
            ends.feed.take(OUT, stream[:cut])
            stream, number = stream[cut:], number + 1
            found += ends.send()
        heard = [b""]
        for kind, lost, text in found:
            assert lost == 0
            if kind == END:
                heard.append(b"")
            else:
                heard[-1] += text
    assert heard == [*runs, b""]

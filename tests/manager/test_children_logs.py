"""What a job in a process of its own says: all of it, while it runs, and of no other order."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import registry
from manager.assignment import Assignment
from manager.children import Children
from manager.order_logs import DROPPED, LOG, STDERR, STDOUT, Line, OrderLogs
from manager.outcome import CRASHED, HANDED_BACK, SUCCEEDED
from tests.manager.by_hand import assignment
from tests.manager.stage import Running
from tests.support import wait_until

JOBS = "tests.manager.talkers"


@pytest.fixture(scope="module", autouse=True)
def talkers() -> None:
    registry.load([JOBS])


class Room:
    """Children, and what they say."""

    def __init__(self) -> None:
        self.logs = OrderLogs()
        self.children = Children([JOBS], self.logs)
        self.said: dict[str, list[Line]] = {}

    def lines(self, order: Assignment) -> list[Line]:
        """All that an order has said by now."""
        found = self.logs.take((order.id, order.order.lease))
        lines = self.said.setdefault(order.id, [])
        if found is not None:
            assert found.first == len(lines) + 1
            lines += found.lines
        return lines

    def texts(self, order: Assignment, stream: str) -> list[str | bytes]:
        return [line.raw for line in self.lines(order) if line.stream == stream]


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.children.close(0)


def order(kind: str, **payload: Any) -> Assignment:
    return assignment(type=f"talk.{kind}", payload=json.dumps(payload))


def test_everything_is_heard(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    speaker = order("all_ways")
    with caplog.at_level(logging.INFO):
        assert room.children.run(speaker).kind == SUCCEEDED
    assert room.texts(speaker, STDOUT) == [
        b"printed",
        b"raw \xff",
        b"program",
        b"thread",
        b"no line end",
    ]
    assert room.texts(speaker, STDERR) == [b"wrong", b"complaint"]
    logged = [(line.level, line.raw) for line in room.lines(speaker) if line.stream == LOG]
    assert logged[:4] == [
        (logging.WARNING, "logged 1 width=3"),
        (logging.INFO, "theirs"),
        (logging.INFO, "%d of %d ('three',)"),
        (logging.ERROR, "failed"),
    ]
    assert logged[4][1] == "Traceback (most recent call last):"
    assert logged[-1][1] == "ValueError: no"
    assert "theirs" in [record.getMessage() for record in caplog.records]


def test_lines_come_while_the_job_runs(room: Room, tmp_path: Path) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    speaker = order("on", began=str(began), go=str(go))
    running = Running(room.children, speaker)
    wait_until(lambda: room.texts(speaker, STDOUT) == [b"before"], "the first line")
    assert not running.is_over()
    go.touch()
    assert running.outcome().kind == SUCCEEDED
    assert room.texts(speaker, STDOUT) == [b"before", b"after"]


def test_all_is_there_when_the_run_is_over_and_none_of_it_twice_or_elsewhere(room: Room) -> None:
    for number in range(50):
        speaker = order("say", text=f"run {number}")
        assert room.children.run(speaker).kind == SUCCEEDED
        text = f"run {number}".encode()
        assert room.texts(speaker, STDOUT) == room.texts(speaker, STDERR) == [text]
    assert room.logs.waiting() == []


def test_the_last_words_of_one_that_is_killed_are_heard(room: Room, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    speaker = order("on", began=str(tmp_path / "began"), go=str(go), how="kill")
    outcome = room.children.run(speaker)
    assert outcome.kind == CRASHED
    assert outcome.output == "before\nafter\n"
    assert room.texts(speaker, STDOUT) == [b"before", b"after"]


def test_one_that_is_told_to_stop_is_heard_to_its_end(room: Room, tmp_path: Path) -> None:
    began = tmp_path / "began"
    speaker = order("on", began=str(began), go=str(tmp_path / "never"))
    running = Running(room.children, speaker)
    wait_until(began.exists, "it begins")
    speaker.tell_to_stop()
    assert running.outcome().kind == HANDED_BACK
    assert room.texts(speaker, STDOUT) == [b"before"]


def test_a_flood_is_bounded_and_its_end_is_kept(room: Room) -> None:
    speaker = order("flood", mib=100)
    outcome = room.children.run(speaker)
    assert outcome.kind == SUCCEEDED, outcome
    total = json.loads(outcome.result or "0")
    lines = room.lines(speaker)
    lost = sum(line.level or 0 for line in lines if line.stream == DROPPED)
    kept = [int(line.raw) for line in lines if line.stream == STDOUT]
    assert len(kept) + lost == total, "every line is kept or counted"
    assert kept == sorted(kept)
    assert kept[-1] == total - 1
    assert len(kept) < 20_000


def test_a_flood_holds_up_no_other_run(room: Room) -> None:
    flooding = Running(room.children, order("flood", mib=200))
    ran = 0
    until = time.monotonic() + 20
    while not flooding.is_over() and time.monotonic() < until:
        quiet = order("say", text="hello")
        assert room.children.run(quiet).kind == SUCCEEDED
        assert room.texts(quiet, STDOUT) == [b"hello"]
        ran += 1
    assert flooding.outcome().kind == SUCCEEDED
    assert ran > 10


def test_a_flood_of_records_loses_the_oldest_of_each_moment(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    speaker = order("log_flood", count=50_000)
    with caplog.at_level(logging.INFO):
        assert room.children.run(speaker).kind == SUCCEEDED
    lines = room.lines(speaker)
    lost = sum(line.level or 0 for line in lines if line.stream == DROPPED)
    kept = [str(line.raw) for line in lines if line.stream == LOG]
    assert len(kept) + lost == 50_000
    assert kept[0] == "record 0"
    assert kept[-1] == "record 49999"
    assert len(caplog.records) < 50_000

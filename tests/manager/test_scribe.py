"""The scribe: what jobs say is written before their outcomes are, and waits for the database."""

from __future__ import annotations

import threading

import pytest

from database import Database, DatabaseAway, Sql
from ledger import journal
from ledger.journal import DROPPED, MOST_BYTES, LogPage, read_lines
from manager import scribe as module
from manager.order_logs import STDOUT, OrderLogs, RunLog
from manager.scribe import Scribe
from models import COMPLETED, WIP
from tests import factories
from tests.ledger import evidence
from tests.manager.by_hand import Unlucky, assignment


@pytest.fixture
def logs() -> OrderLogs:
    return OrderLogs()


@pytest.fixture
def scribe(unlucky: Unlucky, logs: OrderLogs) -> Scribe:
    return Scribe(unlucky, logs)


class Speaker:
    """A run that says something."""

    def __init__(self, database: Database, logs: OrderLogs, lease: int = 1) -> None:
        self.database = database
        self.row = factories.order_in(database, WIP)
        self.log = RunLog(logs, assignment(id=self.row.id, lease=lease, attempts=lease))
        (self.claimed,) = [self.row._replace(lease=lease)]

    def say(self, *lines: str) -> None:
        self.log.write(STDOUT, "".join(f"{line}\n" for line in lines))

    def written(self) -> list[str]:
        return [line.text for line in read_lines(self.database, self.row.id).lines]


def test_a_tick_writes_what_all_orders_said(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    speakers = [Speaker(unlucky, logs) for _ in range(3)]
    for number in range(3):
        for speaker in speakers:
            speaker.say(f"line {number}", "more")
        scribe.tick()
    assert [speaker.written() for speaker in speakers] == [
        ["line 0", "more", "line 1", "more", "line 2", "more"]
    ] * 3


def test_nothing_said_costs_no_transaction(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    speaker = Speaker(unlucky, logs)
    unlucky.refused = 1
    scribe.tick()
    scribe.before_finish([factories.ending(speaker.claimed)])  # type: ignore[arg-type]
    assert unlucky.refused == 1


def test_before_an_outcome_only_its_own_lines_are_written(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    one, other = Speaker(unlucky, logs), Speaker(unlucky, logs)
    one.say("one")
    other.say("other")
    scribe.before_finish([factories.ending(one.claimed)])  # type: ignore[arg-type]
    assert (one.written(), other.written()) == (["one"], [])
    scribe.tick()
    assert other.written() == ["other"]


@pytest.mark.parametrize("fault", ["refused", "unanswered"])
def test_lines_wait_for_the_database_and_come_once(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe, fault: str
) -> None:
    speaker = Speaker(unlucky, logs)
    speaker.say("a", "b")
    for _ in range(3):
        setattr(unlucky, fault, 1)
        with pytest.raises(DatabaseAway):
            scribe.tick()
        speaker.say("c")
    setattr(unlucky, fault, 1)
    ending = factories.ending(speaker.claimed)  # type: ignore[arg-type]
    with pytest.raises(DatabaseAway):
        scribe.before_finish([ending])
    scribe.before_finish([ending])
    assert speaker.written() == ["a", "b", "c", "c", "c"]


def test_an_outcome_waits_for_lines_that_a_tick_is_writing(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker = Speaker(unlucky, logs)
    speaker.say("under way")
    writing, go_on = threading.Event(), threading.Event()
    keep = journal.keep_lines

    def slowly(*args: object, **kwargs: object) -> object:
        writing.set()
        assert go_on.wait(20)
        return keep(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "keep_lines", slowly)
    ticking = threading.Thread(target=scribe.tick)
    ticking.start()
    assert writing.wait(20)
    seen: list[list[str]] = []

    def finish() -> None:
        scribe.before_finish([factories.ending(speaker.claimed)])  # type: ignore[arg-type]
        seen.append(speaker.written())

    finishing = threading.Thread(target=finish)
    finishing.start()
    go_on.set()
    for thread in (ticking, finishing):
        thread.join(20)
    assert seen == [["under way"]]


def test_a_chatterbox_keeps_its_newest_lines(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    speaker = Speaker(unlucky, logs)
    said = 0
    for _ in range(20):
        speaker.say(*[f"{said + number:099}" for number in range(500)])
        said += 500
        scribe.tick()
    found = read_lines(unlucky, speaker.row.id)
    mark, *lines = found.lines
    assert (mark.stream, mark.level) == (DROPPED, found.dropped)
    assert [int(line.text) for line in lines] == list(range(said - len(lines), said))
    assert found.dropped == said - len(lines)
    size = unlucky.read(Sql("SELECT sum(size) FROM job_log"))[0][0]
    assert MOST_BYTES - module.PAGE - 10_000 < size <= MOST_BYTES


def test_a_later_run_counts_with_what_earlier_ones_said(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    speaker = Speaker(unlucky, logs)
    lines = [f"{number:099}" for number in range(1_500)]
    for lease in (1, 2):
        log = RunLog(logs, assignment(id=speaker.row.id, lease=lease, attempts=lease))
        log.write(STDOUT, "\n".join(lines) + "\n")
        Scribe(unlucky, logs).tick()  # another manager's, which knows of no other run
    found = read_lines(unlucky, speaker.row.id)
    assert found.dropped > 0
    assert found.dropped + len(found.lines) - 1 == 3_000
    assert [line.text for line in found.lines[-1_500:]] == lines
    assert {line.lease for line in found.lines[-1_500:]} == {2}


def test_lines_are_harmless_when_they_are_written(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    speaker = Speaker(unlucky, logs)
    speaker.say("nul \x00", "\x1b[31mred\x1b[0m", "lone \ud800", 'quotes " and \\')
    speaker.log.write(STDOUT, b"bad \xff\xfe\n")
    scribe.tick()
    assert speaker.written() == [
        "nul ",
        "red",
        "lone \ufffd",
        'quotes " and \\',
        "bad \ufffd\ufffd",
    ]


def test_lines_that_the_database_refuses_hold_up_no_others(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = Speaker(unlucky, logs), Speaker(unlucky, logs)
    good.say("good")
    bad.say("bad")
    keep = journal.keep_lines

    def choosy(database: Database, pages: list[LogPage], *args: object, **kwargs: bool) -> object:
        if any("bad" in page.content for page in pages):
            raise ValueError("refused by the test")
        return keep(database, pages, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "keep_lines", choosy)
    scribe.tick()
    assert good.written() == ["good"]
    assert bad.written() == []
    good.say("on")
    scribe.before_finish([factories.ending(good.claimed)])  # type: ignore[arg-type]
    assert good.written() == ["good", "on"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_of_an_order_that_is_locked_no_more_waits_than_is_kept(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    locked = Speaker(unlucky, logs)
    lines = [f"{number:0999}" for number in range(200)]
    with evidence.locked(unlucky, locked.row.id):
        for _ in range(10):
            locked.say(*lines)
            scribe.tick()
            waiting = scribe.before_finish([factories.ending(locked.claimed)])  # type: ignore[arg-type]
            assert waiting == {(locked.row.id, 1)}
        assert sum(page.size for page in scribe._pages) < 2 * MOST_BYTES
        assert locked.written() == []
    scribe.tick()
    found = read_lines(unlucky, locked.row.id)
    assert found.dropped + sum(line.stream != DROPPED for line in found.lines) == 2_000
    assert found.lines[-1].text == lines[-1]


def test_of_an_order_that_was_deleted_nothing_is_kept(
    unlucky: Unlucky, logs: OrderLogs, scribe: Scribe
) -> None:
    row = factories.order_in(unlucky, COMPLETED)
    RunLog(logs, assignment(id=row.id)).write(STDOUT, "late\n")
    gone = assignment()
    RunLog(logs, gone).write(STDOUT, "of nobody\n")
    scribe.tick()
    assert [line.text for line in read_lines(unlucky, row.id).lines] == ["late"]
    assert unlucky.read(Sql("SELECT count(*) FROM job_log")) == [(1,)]

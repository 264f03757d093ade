"""The lines of orders: kept once, in order, bounded, and gone with their order."""

from __future__ import annotations

import pytest

import ledger
from database import Database, Sql
from ledger import UnknownOrder
from ledger.journal import (
    DROPPED,
    MOST_BYTES,
    MOST_LINES,
    LogLine,
    LogPage,
    keep_lines,
    log_page,
    read_lines,
)
from models import CANCELLED, COMPLETED, FAILED, WIP
from tests import factories
from tests.ledger import evidence

COUNT = Sql("SELECT count(*) FROM job_log")


def page(order: str, *texts: str, lease: int = 1, first: int = 1) -> LogPage:
    lines = [(1_000 + place, "stdout", None, text) for place, text in enumerate(texts)]
    return log_page(order, lease, lease, first, lines)


def keep(database: Database, *pages: LogPage, trim: bool = False) -> dict[str, int]:
    later, sizes = keep_lines(database, pages, {one.id for one in pages} if trim else ())
    assert later == []
    return sizes


def texts(database: Database, order: str, after: int = 0) -> list[str]:
    return [line.text for line in read_lines(database, order, after).lines]


def test_lines_come_back_in_order_with_all_that_is_known_of_them(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    keep(database, page(order, "first", "second"))
    said = log_page(order, 1, 1, 3, [(5, "log", 30, 'é 漢 \U0001f600 "quoted" \\')])
    keep(database, said)
    begin = MOST_LINES
    assert read_lines(database, order).lines == [
        LogLine(begin + 1, 1_000, 1, 1, "stdout", None, "first"),
        LogLine(begin + 2, 1_001, 1, 1, "stdout", None, "second"),
        LogLine(begin + 3, 5, 1, 1, "log", 30, 'é 漢 \U0001f600 "quoted" \\'),
    ]


def test_reading_goes_on_behind_a_line_also_within_a_page(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    keep(database, page(order, "a", "b"), page(order, "c", "d", first=3))
    assert texts(database, order, MOST_LINES + 1) == ["b", "c", "d"]
    assert texts(database, order, MOST_LINES + 3) == ["d"]
    assert texts(database, order, MOST_LINES + 4) == []


def test_a_page_is_written_once_however_often_it_is_sent(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    for _ in range(3):
        keep(database, page(order, "a", "b"))
    assert texts(database, order) == ["a", "b"]


def test_what_a_lost_lease_says_late_stands_before_its_successor(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    keep(database, page(order, "second run", lease=2))
    seen = read_lines(database, order).lines[-1].seq
    keep(database, page(order, "late", lease=1))
    assert texts(database, order) == ["late", "second run"]
    assert texts(database, order, seen) == []


def test_the_oldest_is_dropped_and_counted(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    each = 30
    text = "x" * 1_000
    for number in range(12):
        sizes = keep(database, page(order, *[text] * each, first=number * each + 1), trim=True)
        assert sizes[order] <= MOST_BYTES
    journal = read_lines(database, order)
    mark, *lines = journal.lines
    assert (mark.stream, mark.level, mark.seq) == (DROPPED, journal.dropped, lines[0].seq - 1)
    assert len(lines) + journal.dropped == 12 * each
    assert MOST_BYTES - 40_000 < len(lines) * len(text) < MOST_BYTES


def test_marks_within_pages_count_until_these_are_dropped_themselves(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    marked = [(1, DROPPED, 7, ""), (2, "stdout", None, "x" * 100_000)]
    for number in range(5):
        keep(database, log_page(order, 1, 1, 2 * number + 1, marked), trim=True)
    journal = read_lines(database, order)
    assert [line.level for line in journal.lines if line.stream == DROPPED] == [7 * 3 + 3, 7, 7]
    assert journal.dropped == 7 * 5 + 3


def test_a_newer_run_is_never_dropped_for_what_an_older_says_late(database: Database) -> None:
    order = factories.order_in(database, WIP).id
    keep(database, page(order, *["new"] * 10, lease=2), trim=True)
    for number in range(12):
        keep(database, page(order, *["x" * 1_000] * 30, first=30 * number + 1), trim=True)
    assert texts(database, order)[-10:] == ["new"] * 10


def test_orders_do_not_mix(database: Database) -> None:
    one, other = (factories.order_in(database, WIP).id for _ in range(2))
    keep(database, page(one, "one"), page(other, "other"), trim=True)
    assert (texts(database, one), texts(database, other)) == (["one"], ["other"])


@pytest.mark.parametrize("many", [False, True])
def test_lines_go_with_their_order(database: Database, many: bool) -> None:
    order = factories.order_in(database, COMPLETED).id
    keep(database, page(order, "said"))
    if many:
        ledger.delete_many(database, [order])
    else:
        ledger.delete(database, order)
    keep(database, page(order, "said after", first=2))
    assert database.read(COUNT) == [(0,)]
    with pytest.raises(UnknownOrder):
        read_lines(database, order)


def test_whether_more_can_come(database: Database) -> None:
    assert not read_lines(database, factories.order_in(database, WIP).id).is_over
    for status in (COMPLETED, FAILED):
        assert read_lines(database, factories.order_in(database, status).id).is_over
    cancelled = factories.order_in(database, CANCELLED).id
    assert not read_lines(database, cancelled).is_over, "its job may be told only now"
    past = Sql("UPDATE job_order SET completed_on = completed_on - 60000 WHERE id = :id")
    database.write(lambda tx: tx.run(past, {"id": database.key(cancelled)}))
    assert read_lines(database, cancelled).is_over


def test_a_locked_order_holds_up_no_other_ones_lines(database: Database) -> None:
    if database.dialect == "sqlite":
        return  # it locks no rows
    one, other = (factories.order_in(database, WIP).id for _ in range(2))
    pages = [page(one, "one"), page(other, "other")]
    with evidence.locked(database, one):
        later, _ = keep_lines(database, pages, {one, other})
        assert later == pages[:1]
        assert texts(database, other) == ["other"]
    assert keep_lines(database, later, ()) == ([], {})
    assert texts(database, one) == ["one"]

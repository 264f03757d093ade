"""The scribe: writes down what jobs said, all orders of a manager together, once a second.

What a run said is written before its outcome is: who sees that an order has ended finds all of its
lines.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

import structlog

from database import Database, DatabaseAway
from ledger import Ending
from ledger.journal import MOST_BYTES, LogPage, keep_lines, log_page
from manager.cleaning import clean
from manager.order_logs import LINE_COST, Key, OrderLogs, Taken

PAGE = 32 * 1024
BATCH = 4 * 1024 * 1024
# Sizes are remembered of so many orders; of any other the database is asked.
MOST_SIZES = 10_000

log = structlog.get_logger("capataz.manager")


class Scribe:
    """What could not be written waits, and nothing newer of the same run is taken before it is: so
    it is bounded by what `OrderLogs` keeps."""

    def __init__(self, database: Database, logs: OrderLogs) -> None:
        self._database = database
        self._logs = logs
        self._writing = threading.Lock()
        self._pages: list[LogPage] = []
        # Whether there may be lines that wait neither there nor with `logs`.
        self._has_taken = False
        self._sizes: dict[str, int] = {}

    def tick(self) -> None:
        """Write all that waits. Raises `DatabaseAway`."""
        if self._pages or self._logs.has_waiting():
            with self._writing:
                self._write(self._pages)
                self._take_and_write(self._logs.waiting())

    def before_finish(self, endings: Iterable[Ending]) -> set[Key]:
        """Write what these runs have said, so that their outcomes may be; those (id, lease) of
        which some still waits, since somebody has the order locked. Raises `DatabaseAway`."""
        # In this order: before lines are taken from the one, the other says so.
        if not self._logs.has_waiting() and not self._has_taken:
            return set()
        keys = [(ending.id, ending.lease) for ending in endings]
        if not self._logs.of(keys) and not self._has_taken:
            return set()
        with self._writing:
            those = set(keys)
            self._write([page for page in self._pages if (page.id, page.lease) in those])
            self._take_and_write(self._logs.of(keys))
            return those.intersection((page.id, page.lease) for page in self._pages)

    def _take_and_write(self, keys: Iterable[Key]) -> None:
        self._has_taken = True
        try:
            new: list[LogPage] = []
            size = 0
            passed_over = {(page.id, page.lease) for page in self._pages}
            for key in keys:
                taken = self._logs.take(key) if key not in passed_over else None
                for page in _pages(taken) if taken is not None else ():
                    new.append(page)
                    size += page.size
                if size > BATCH:
                    self._add_and_write(new)
                    new, size = [], 0
            self._add_and_write(new)
        finally:
            self._has_taken = bool(self._pages)

    def _add_and_write(self, new: list[LogPage]) -> None:
        self._pages += new
        self._write(new)

    def _write(self, pages: Sequence[LogPage]) -> None:
        """Write these of the pages that wait; one that is passed over goes on waiting."""
        if not pages:
            return
        try:
            later = self._keep(pages)
        except DatabaseAway:
            raise
        except Exception:
            log.exception("lines of jobs were refused; trying them page by page")
            later = self._keep_each(pages)
        done = set(map(id, pages)) - set(map(id, later))
        self._pages = [page for page in self._pages if id(page) not in done]

    def _keep_each(self, pages: Sequence[LogPage]) -> list[LogPage]:
        later: list[LogPage] = []
        for page in pages:
            try:
                later += self._keep([page])
            except DatabaseAway:
                raise
            except Exception:
                log.exception("lines of a job cannot be written; dropped", job=page.id)
        return later

    def _keep(self, pages: Sequence[LogPage]) -> list[LogPage]:
        trim = {page.id for page in pages if self._is_too_much(page)}
        later, sizes = keep_lines(self._database, pages, trim)
        for order_id in trim:
            self._remember(order_id, sizes.get(order_id, MOST_BYTES))
        return later

    def _is_too_much(self, page: LogPage) -> bool:
        """Whether an order may have more lines than are kept, with this page."""
        known = self._sizes.get(page.id)
        if known is None and (page.lease, page.first) != (1, 1):
            return True  # what earlier runs said is not known
        size = (known or 0) + page.size
        self._remember(page.id, size)
        return size > MOST_BYTES

    def _remember(self, order_id: str, size: int) -> None:
        self._sizes.pop(order_id, None)
        self._sizes[order_id] = size
        if len(self._sizes) > MOST_SIZES:
            del self._sizes[next(iter(self._sizes))]


def _pages(taken: Taken) -> Iterator[LogPage]:
    """The lines, made harmless, in pages of bounded size."""
    order_id, lease = taken.key
    lines: list[tuple[int, str, int | None, str]] = []
    first, size = taken.first, 0
    for line in taken.lines:
        text = clean(line.raw, is_cut=line.is_cut)
        cost = LINE_COST + (len(text) if text.isascii() else len(text.encode()))
        if lines and size + cost > PAGE:
            yield log_page(order_id, lease, taken.attempt, first, lines)
            first, lines, size = first + len(lines), [], 0
        lines.append((line.at, line.stream, line.level, text))
        size += cost
    if lines:
        yield log_page(order_id, lease, taken.attempt, first, lines)

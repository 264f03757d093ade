"""Outages of the database, told by those who noticed, when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from database import Database, Sql, Transaction
from ledger.record import note

# A shorter one was a connection that broke, or a moment of too much to do.
LEAST_SECONDS = 0.5

# What others told already is not told again: an outage is one for all.
TELL = Sql("""
    UPDATE system_state SET away_until = {now} - :until_ms
    WHERE id = 1 AND coalesce(away_until, 0) < {now} - :since_ms
    RETURNING {now} - :since_ms, away_until""")


class OutageWatch:
    """Notices from failures of one process that the database is away; safe between threads."""

    def __init__(
        self,
        database: Database,
        manager: str | None = None,
        look_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`manager` is named in the event. Its owner looks at the database so often by itself: at
        the latest so long after the last failure it was over, when nobody asked since. `clock`
        counts seconds."""
        self._look_seconds = look_seconds
        self._database = database
        self._manager = manager
        self._clock = clock
        self._lock = threading.Lock()
        self._first: float | None = None
        self._last = 0.0

    def failed(self) -> None:
        """Somebody could not reach it, just now."""
        with self._lock:
            self._last = self._clock()
            if self._first is None:
                self._first = self._last

    def over(self) -> None:
        """It is said to be back: leave an event, unless somebody did for the same outage.

        Raises `DatabaseAway`.
        """
        with self._lock:
            first, last = self._first, self._last
        if first is None:
            return
        now = self._clock()
        until = min(now, last + self._look_seconds)
        if until - first >= LEAST_SECONDS:
            self._tell(now - first, now - until)
        with self._lock:
            if self._last == last:
                self._first = None

    def _tell(self, since: float, until: float) -> None:
        """It was away from so many seconds ago until so many seconds ago."""
        ages = {"since_ms": round(since * 1000), "until_ms": round(until * 1000)}

        def work(transaction: Transaction) -> None:
            for begin, end in transaction.rows(TELL, ages):
                note(transaction, "database_away", self._manager, **{"from": begin, "to": end})

        self._database.write(work)

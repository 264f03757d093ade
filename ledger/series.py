"""What happened minute by minute, from the tallies: what ended, how long it took and waited.

A minute that is over does not change, so it is read once by each process.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from database import Database, Sql
from ledger.tallies import MINUTES_KEPT, NOW_MINUTE
from ledger.totals import OPEN_MINUTES
from models import COMPLETED, FAILED, PENDING

MOST_MINUTES = MINUTES_KEPT

ROWS = Sql("""
    SELECT minute, type, before, after, n, histogram FROM tally
    WHERE minute >= :since AND (before = 'wip' OR histogram IS NOT NULL)""")
ENDS = (COMPLETED, FAILED)


class Times(NamedTuple):
    """In ms, as well as the buckets tell: half of the times were no longer, and 95 of 100."""

    p50: float
    p95: float


@dataclass(slots=True)
class Minute:
    """One minute, or the sum of some: `processed` by type and end, times by bucket."""

    processed: Counter[tuple[str, str]] = field(default_factory=Counter)
    run: Counter[int] = field(default_factory=Counter)
    wait: Counter[int] = field(default_factory=Counter)

    def ended(self, status: str) -> int:
        """How many orders ended so."""
        return sum(n for (_, after), n in self.processed.items() if after == status)

    def add(self, other: Minute) -> None:
        """Add another to this one."""
        self.processed.update(other.processed)
        self.run.update(other.run)
        self.wait.update(other.wait)


class Series:
    """The minutes of one database; safe between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._closed: dict[int, Minute] = {}

    def minutes(self, count: int) -> dict[int, Minute]:
        """The last so many minutes (since 1970), the present one last. Raises `DatabaseAway`."""
        with self._lock:
            present = int(self._database.read(NOW_MINUTE)[0][0])
            wanted = range(present - count + 1, present + 1)
            since = next((one for one in wanted if one not in self._closed), present)
            found = self._read(since)
            for minute in range(since, present - OPEN_MINUTES):
                self._closed[minute] = found.get(minute) or Minute()
            for minute in [one for one in self._closed if one <= present - MOST_MINUTES]:
                del self._closed[minute]
            known = self._closed | found
            return {minute: known.get(minute) or Minute() for minute in wanted}

    def _read(self, since: int) -> dict[int, Minute]:
        found: dict[int, Minute] = {}
        rows = self._database.read(ROWS, {"since": since})
        for minute, kind, before, after, n, histogram in rows:
            one = found.setdefault(minute, Minute())
            if after in ENDS:
                one.processed[kind, after] += int(n)
            if histogram is not None:
                counts = one.wait if before == PENDING else one.run
                counts.update({int(b): n for b, n in json.loads(histogram).items()})
        return found


def total(minutes: Iterable[Minute]) -> Minute:
    """All of them together."""
    found = Minute()
    for one in minutes:
        found.add(one)
    return found


def times(buckets: Mapping[int, int]) -> Times | None:
    """The middle and the long times of so many in each bucket; None when there are none."""
    if not sum(buckets.values()):
        return None
    return Times(_percentile(buckets, 0.50), _percentile(buckets, 0.95))


def _percentile(buckets: Mapping[int, int], part: float) -> float:
    """Where in its bucket the time lies is taken for even: bucket b is from 2^(b-1) to 2^b ms."""
    rank = part * sum(buckets.values())
    for bucket, count in sorted(buckets.items()):
        if rank <= count:
            low = 0 if bucket == 0 else 2 ** (bucket - 1)
            return round(low + low * rank / count, 1)
        rank -= count
    raise AssertionError("unreachable: the rank is within the sum")

"""What every move leaves behind in its own transaction: an event and a tally."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from database import Sql, Transaction
from ledger.ids import pack

INSERT_EVENT = Sql(
    "INSERT INTO event (at, kind, n, orders, manager, data) "
    "VALUES ({now}, :kind, :n, :orders, :manager, :data)"
)
INSERT_TALLY = Sql(
    "INSERT INTO tally (minute, queue, type, before, after, n, runs, run_ms, histogram) VALUES "
    "({now} / 60000, :queue, :type, :before, :after, :n, :runs, :run_ms, :histogram)"
)


# An attempt began when it is said to have begun, or so long before its end; that was then, or so
# long ago.
INSERT_ATTEMPT = Sql("""
    INSERT INTO attempt (order_id, lease, number, outcome, manager, worker, started_on, ended_on,
        run_ms, error)
    VALUES (:id, :lease, :number, :outcome, :manager, :worker,
        coalesce(CAST(:started_on AS BIGINT),
            {now} - CAST(:ago_ms AS BIGINT) - CAST(:age_ms AS BIGINT)),
        coalesce(CAST(:ended_on AS BIGINT), {now} - CAST(:ago_ms AS BIGINT)), :run_ms, :error)""")


class _Count:
    __slots__ = ("buckets", "n", "run_ms", "runs")

    def __init__(self) -> None:
        self.n = 0
        self.runs = 0
        self.run_ms = 0
        self.buckets: dict[int, int] = {}


class Record:
    """Gathers the moves of one transaction and writes them with as few statements as can be."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str], _Count] = {}
        self._events: list[dict[str, Any]] = []

    def move(
        self, queue: str, kind: str, before: str, after: str, run_ms: int | None = None
    ) -> None:
        """Count one order of this queue and type that moves, with the run time of its attempt; or,
        if it is claimed, with how long it waited."""
        key = (queue, kind, before, after)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count()
        count.n += 1
        if run_ms is not None:
            count.runs += 1
            count.run_ms += run_ms
            bucket = bucket_of(run_ms)
            count.buckets[bucket] = count.buckets.get(bucket, 0) + 1

    def event(
        self,
        kind: str,
        ids: Sequence[str] = (),
        manager: str | None = None,
        **data: Any,
    ) -> None:
        """Note one event for these orders; `data` may hold lists that run parallel to them."""
        self._events.append(
            {
                "kind": kind,
                "n": len(ids),
                "orders": pack(ids) if ids else None,
                "manager": manager,
                "data": json.dumps(data, separators=(",", ":")) if data else None,
            }
        )

    def write(self, transaction: Transaction) -> None:
        """Write all that was gathered."""
        for event in self._events:
            transaction.run(INSERT_EVENT, event)
        for (queue, kind, before, after), count in self._counts.items():
            histogram = json.dumps(count.buckets) if count.buckets else None
            transaction.run(
                INSERT_TALLY,
                {
                    "queue": queue,
                    "type": kind,
                    "before": before,
                    "after": after,
                    "n": count.n,
                    "runs": count.runs,
                    "run_ms": count.run_ms,
                    "histogram": histogram,
                },
            )


def bucket_of(run_ms: int) -> int:
    """The histogram's bucket of a run time: bucket b holds 2^(b-1) ms up to below 2^b ms."""
    return max(run_ms, 0).bit_length()


def keep_attempts(transaction: Transaction, attempts: Iterable[Mapping[str, Any]]) -> None:
    """Write ended attempts into the history, since their orders' rows will be reused.

    `started_on` and `ended_on` are times in ms; without them it ended `ago_ms` ago, and began
    `age_ms` before that.
    """
    unknown = {"started_on": None, "age_ms": None, "ended_on": None, "ago_ms": 0}
    transaction.many(INSERT_ATTEMPT, [{**unknown, **attempt} for attempt in attempts])


def note(transaction: Transaction, kind: str, manager: str | None = None, **data: Any) -> None:
    """Write one event that concerns no order."""
    record = Record()
    record.event(kind, manager=manager, **data)
    record.write(transaction)

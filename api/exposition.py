"""The figures as Prometheus reads them.

They are made from what the ledger has tallied, not counted in this process: every web process says
the same, a restart forgets nothing, and it costs the same however many orders there are.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import ledger
from api.figures import Figures
from database import Database
from ledger.audit import audit_counts
from ledger.tallies import Total, totals
from ledger.workers import BUSY, DRAINING, HUNG, IDLE, LOST, STARTING, count_workers
from models import CANCELLED, COMPLETED, FAILED, NOTHING, PENDING, STATUSES, WIP
from settings import VERSION

FRESH_SECONDS = 1.0

# So many names of types, and of queues, have figures of their own: the first by name.
MOST_NAMES = 100
OTHER = "other"

# Upper bounds in ms, each with how many of the ledger's buckets are below it.
BOUNDS = {2**bucket: bucket for bucket in range(0, 26, 2)}

WORKER_STATES = (STARTING, IDLE, BUSY, HUNG, DRAINING, LOST)
OUTCOMES = (COMPLETED, FAILED, CANCELLED)


class Exposition(Collector):
    """The text of /metrics of one database, computed at most once a second for a web process."""

    def __init__(self, database: Database, figures: Figures) -> None:
        self._database = database
        self._figures = figures
        self._lock = threading.Lock()
        self._text = b""
        self._until = 0.0
        # What a registry asks at its registration would be asked of the database.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The figures, at most a second old. Raises `DatabaseAway`."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = generate_latest(self._registry)
                self._until = time.monotonic() + FRESH_SECONDS
            return self._text

    def collect(self) -> Iterable[Metric]:
        """Every figure with its labels, read now. Raises `DatabaseAway`."""
        with self._database.session():
            yield _gauge("build_info", "Which version answers.", "version", {VERSION: 1})
            tallied = totals(self._database)
            yield from _of_moves(tallied)
            yield from _of_times(tallied)
            yield from _of_levels(tallied)
            yield from self._of_the_present()
            yield from self._of_audits()

    def _of_the_present(self) -> Iterator[Metric]:
        figures = self._figures.document()
        yield GaugeMetricFamily(
            "capataz_oldest_pending_seconds",
            "How long the order has waited that could have run for longest.",
            figures["oldestPendingSeconds"],
        )
        found = count_workers(self._database)
        workers = {state: found.get(state, 0) for state in WORKER_STATES}
        yield _gauge("workers", "Workers of living managers, by state.", "state", workers)
        beating = [
            one
            for one in ledger.managers(self._database)
            if one.ended_on is None and one.silent_ms < one.stale_ms
        ]
        yield GaugeMetricFamily("capataz_managers", "Managers that are alive.", len(beating))

    def _of_audits(self) -> Iterator[Metric]:
        counts = audit_counts(self._database)
        told = (
            ("audit_findings", "What the self-audit found, by rule.", "found"),
            ("audit_repairs", "What of it was repaired, by rule.", "repaired"),
        )
        for name, text, field in told:
            values = {rule: getattr(count, field) for rule, count in counts.items()}
            yield _counter(name, text, ("rule",), {(rule,): n for rule, n in values.items()})
        left = {rule: count.open for rule, count in counts.items()}
        yield _gauge("audit_open", "Findings of the self-audit that are left.", "rule", left)


def _of_moves(tallied: Iterable[Total]) -> Iterator[Metric]:
    submitted: Counter[tuple[str, ...]] = Counter()
    ended: Counter[tuple[str, ...]] = Counter()
    again: Counter[tuple[str, ...]] = Counter()
    for name, total in _by_type(tallied):
        if (total.before, total.after) == (NOTHING, PENDING):
            submitted[name,] += total.n
        elif (total.before, total.after) == (WIP, PENDING):
            again[name,] += total.n
        elif total.after in OUTCOMES:
            ended[name, total.after] += total.n
    # What may happen is told from the first: a rate needs a beginning.
    ended.update({(name, outcome): 0 for (name,) in submitted for outcome in OUTCOMES})
    yield _counter("orders_submitted", "Orders submitted, by type.", ("type",), submitted)
    yield _counter(
        "orders_ended", "Orders that ended, by type and outcome.", ("type", "outcome"), ended
    )
    yield _counter(
        "orders_returned",
        "Times that a claimed order was pending again, by type: retries, rescues, hand-backs.",
        ("type",),
        again,
    )


def _of_times(tallied: Iterable[Total]) -> Iterator[Metric]:
    rows = [(name, total) for name, total in _by_type(tallied) if total.runs]
    for waits, name, text in (
        (True, "order_wait_seconds", "How long claimed orders could have run before, by type."),
        (False, "order_run_seconds", "How long the runs of orders took, by type."),
    ):
        family = HistogramMetricFamily(f"capataz_{name}", text, labels=["type"])
        buckets: dict[str, Counter[int]] = {}
        sums: Counter[str] = Counter()
        for kind, total in rows:
            if (total.after == WIP) == waits:
                buckets.setdefault(kind, Counter()).update(total.buckets)
                sums[kind] += total.run_ms
        for kind, counts in sorted(buckets.items()):
            family.add_metric([kind], _cumulative(counts), sums[kind] / 1000)
        yield family


def _of_levels(tallied: Iterable[Total]) -> Iterator[Metric]:
    levels = dict.fromkeys(STATUSES, 0)
    waiting: Counter[str] = Counter()
    for total in tallied:
        for status, n in ((total.after, total.n), (total.before, -total.n)):
            if status in levels:
                levels[status] += n
            if status == PENDING and total.queue:
                waiting[total.queue] += n
    yield _gauge("orders", "Orders that are in the table, by status.", "status", levels)
    yield _gauge("queue_pending_orders", "Orders that wait, by queue.", "queue", _bounded(waiting))


def _by_type(tallied: Iterable[Total]) -> list[tuple[str, Total]]:
    """Those that have a type, each with the name under which it is shown."""
    rows = [total for total in tallied if total.type]
    shown = _shown(total.type for total in rows)
    return [(total.type if total.type in shown else OTHER, total) for total in rows]


def _cumulative(buckets: Mapping[int, int]) -> list[tuple[str, float]]:
    """The counts of a histogram as Prometheus has them, by upper bound in seconds."""
    below = list(accumulate(buckets.get(bucket, 0) for bucket in range(max(BOUNDS.values()) + 1)))
    known = [(str(bound / 1000), float(below[bucket])) for bound, bucket in BOUNDS.items()]
    return [*known, ("+Inf", float(sum(buckets.values())))]


def _shown(names: Iterable[str]) -> frozenset[str]:
    return frozenset(sorted(set(names))[:MOST_NAMES])


def _bounded(values: Mapping[str, int]) -> dict[str, int]:
    """The same with what is beyond the bound in one."""
    shown = _shown(values)
    found: Counter[str] = Counter()
    for name, n in values.items():
        found[name if name in shown else OTHER] += n
    return dict(found)


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"capataz_{name}", text, labels=[label])
    for value, n in sorted(values.items()):
        family.add_metric([value], n)
    return family


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> Metric:
    family = CounterMetricFamily(f"capataz_{name}", text, labels=labels)
    for value, n in sorted(values.items()):
        family.add_metric(value, n)
    return family

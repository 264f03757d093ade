"""What surrounds an order: all that decides whether it runs, read in a few bounded statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from database import Database, Sql
from ledger.ids import text_id
from ledger.managers import SILENT_BEATS
from ledger.orders import COLUMNS, OrderRow, UnknownOrder, order_row
from ledger.steer import PastAttempt, QueueRow, history, queues
from models import ALL_QUEUES, CANCELLED, PENDING, WIP

# Counted exactly up to this many.
MOST_AHEAD = 1_000
MOST_QUEUES = 1_000
# Claims of so many minutes say how quickly orders are taken.
RATE_MINUTES = 5
LONGEST = 3

ORDER = Sql(f"""
    SELECT quarantined, {{now}}, (SELECT paused_on FROM queue WHERE name = job_order.queue),
        (SELECT paused_on FROM queue WHERE name = '{ALL_QUEUES}'), {COLUMNS}
    FROM job_order WHERE id = :id""")

# `held` is what a manager has claimed and not written yet.
MANAGERS = Sql(f"""
    SELECT m.id, m.state, m.slots, m.queues, m.types, m.heartbeat_ms, m.stale_ms, m.proof,
        m.last_beat, m.ended_on, {{now}} - m.last_beat, (SELECT count(*) FROM (
            SELECT 1 FROM job_order AS o WHERE o.status = 'wip' AND o.manager = m.id
            LIMIT {MOST_AHEAD}) AS bounded)
    FROM manager AS m WHERE m.ended_on IS NULL OR m.id = :holder
        OR m.id = (SELECT id FROM manager ORDER BY last_beat DESC LIMIT 1)
    ORDER BY m.id""")

_LANE = "FROM job_order AS o WHERE o.status = 'pending' AND o.queue = {} AND o.priority = {}"

BEFORE = Sql(f"""
    SELECT count(*) FROM (
        SELECT 1 {_LANE.format(":queue", ":priority")} AND (o.run_at, o.id) < (:run_at, :id)
        LIMIT {MOST_AHEAD + 1}) AS bounded""")

# What is due in these lanes, one after the other until there are enough; how many are of the queue.
HIGHER = Sql(
    sqlite=f"""
    SELECT count(*), coalesce(sum(queue = :queue), 0) FROM (
        SELECT o.queue FROM (
            SELECT value ->> 0 AS queue, value ->> 1 AS priority FROM json_each(:lanes)) AS lane
        CROSS JOIN job_order AS o
        WHERE o.status = 'pending' AND o.queue = lane.queue AND o.priority = lane.priority
            AND o.run_at <= {{now}} LIMIT {MOST_AHEAD + 1})""",
    postgres=f"""
    SELECT count(*), count(*) FILTER (WHERE queue = :queue) FROM (
        SELECT lane.queue FROM (
            SELECT value ->> 0 AS queue, CAST(value ->> 1 AS smallint) AS priority
            FROM json_array_elements(CAST(:lanes AS json))) AS lane,
        LATERAL (
            SELECT 1 {_LANE.format("lane.queue", "lane.priority")} AND o.run_at <= {{now}}
            ORDER BY o.run_at LIMIT {MOST_AHEAD + 1}) AS c
        LIMIT {MOST_AHEAD + 1}) AS bounded""",
)

RATES = Sql("""
    SELECT CAST(sum(n) AS BIGINT), CAST(sum(CASE WHEN queue = :queue THEN n ELSE 0 END) AS BIGINT),
        {now} - min(minute) * 60000
    FROM tally WHERE minute >= {now} / 60000 - :minutes AND before = 'pending' AND after = 'wip'""")

_RUNNING = """
    SELECT o.id, o.type, o.worker, {{now}} - o.started_on FROM job_order AS o
    WHERE o.status = 'wip' AND o.started_on IS NOT NULL AND o.manager {}
    ORDER BY o.started_on LIMIT :most"""
RUNNING = Sql(
    sqlite=_RUNNING.format("IN (SELECT value FROM json_each(:managers))"),
    postgres=_RUNNING.format("= ANY(CAST(:managers AS text[]))"),
)

# Who has it in hand still, as the registry of workers says.
IN_HAND = Sql("""
    SELECT w.id, w.state, w.seen_on FROM worker AS w JOIN manager AS m ON m.id = w.manager
    WHERE w.order_id = :id AND w.state <> 'lost' AND m.ended_on IS NULL
        AND m.last_beat >= {now} - m.stale_ms
    ORDER BY w.seen_on DESC LIMIT 1""")

# On PostgreSQL claims pass over what somebody keeps locked; on SQLite nothing can be.
UNLOCKED = Sql("SELECT 1 FROM job_order WHERE id = :id FOR SHARE SKIP LOCKED")


class Crew(NamedTuple):
    """A manager as it matters here; times in ms, `queues` and `types` None for all and not told."""

    id: str
    state: str
    slots: int
    queues: frozenset[str] | None
    types: frozenset[str] | None
    heartbeat_ms: int
    stale_ms: int
    proof: str
    last_beat: int
    ended_on: int | None
    silent_ms: int
    held: int

    @property
    def lives(self) -> bool:
        """Whether it gave a sign of life within its own stale time."""
        return self.ended_on is None and self.silent_ms < self.stale_ms

    @property
    def beats(self) -> bool:
        """Whether it lives and has not missed its last heartbeats."""
        return self.lives and self.silent_ms < SILENT_BEATS * self.heartbeat_ms

    def serves(self, queue: str) -> bool:
        return self.queues is None or queue in self.queues

    def may_know(self, name: str) -> bool:
        return self.types is None or name in self.types


class Run(NamedTuple):
    """An order that runs, and for how long."""

    order_id: str
    type: str
    worker: str | None
    running_ms: int


class InHand(NamedTuple):
    """A worker that still has the order, as of then (ms)."""

    worker: str
    state: str
    seen_on: int


@dataclass(slots=True)
class Circumstances:
    """An order and what surrounds it, as of `now` by the database's clock."""

    order: OrderRow
    now: int
    quarantined: bool
    queue_paused_on: int | None
    all_paused_on: int | None
    past: list[PastAttempt]
    managers: list[Crew]
    before: int = 0
    higher: int = 0
    higher_own: int = 0
    claims: int = 0
    queue_claims: int = 0
    claims_ms: int = 0
    longest: list[Run] = field(default_factory=list)
    in_hand: InHand | None = None

    @property
    def due_on(self) -> int:
        """Since when it could run: not before it was made, whatever its `run_at`."""
        return max(self.order.run_at, self.order.created_on)

    @property
    def living(self) -> list[Crew]:
        """The managers that live."""
        return [manager for manager in self.managers if manager.lives]

    @property
    def able(self) -> list[Crew]:
        """Those of them that serve its queue and may know its type."""
        order = self.order
        return [m for m in self.living if m.serves(order.queue) and m.may_know(order.type)]

    @property
    def has_rescuer(self) -> bool:
        """Whether another manager beats, which takes it back should its holder be gone."""
        return any(one.beats and one.id != self.order.manager for one in self.managers)

    @property
    def holder(self) -> Crew | None:
        """The manager that has, or last had it."""
        return next((one for one in self.managers if one.id == self.order.manager), None)


def gather(database: Database, order_id: str) -> Circumstances:
    """All that matters about an order. Raises `UnknownOrder`, `DatabaseAway`."""
    key = {"id": database.key(order_id)}
    with database.session():
        rows = database.read(ORDER, key)
        if not rows:
            raise UnknownOrder(order_id)
        quarantined, now, queue_paused_on, all_paused_on, *columns = rows[0]
        order = order_row(tuple(columns))
        found = Circumstances(
            order=order,
            now=now,
            quarantined=bool(quarantined),
            queue_paused_on=queue_paused_on,
            all_paused_on=all_paused_on,
            past=history(database, order_id),
            managers=_managers(database, order.manager),
        )
        if order.status == PENDING:
            _look_at_line(database, found)
        if order.status in (WIP, CANCELLED):
            in_hand = database.read(IN_HAND, key)
            found.in_hand = InHand._make(in_hand[0]) if in_hand else None
    return found


def _managers(database: Database, holder: str | None) -> list[Crew]:
    return [
        Crew(row[0], row[1], row[2], _names(row[3]), _told_names(row[4]), *row[5:])
        for row in database.read(MANAGERS, {"holder": holder})
    ]


def _look_at_line(database: Database, found: Circumstances) -> None:
    order = found.order
    lane = {"queue": order.queue, "priority": order.priority}
    place = {"run_at": order.run_at, "id": database.key(order.id)}
    found.before = database.read(BEFORE, lane | place)[0][0]
    lanes = _higher_lanes(order, queues(database), found.able)
    if lanes:
        sought = {"queue": order.queue, "lanes": json.dumps(lanes)}
        found.higher, found.higher_own = database.read(HIGHER, sought)[0]
    claims, queue_claims, claims_ms = database.read(
        RATES, {"queue": order.queue, "minutes": RATE_MINUTES}
    )[0]
    found.claims, found.queue_claims = claims or 0, queue_claims or 0
    found.claims_ms = max(1, claims_ms or 0)
    found.longest = _longest(database, [manager.id for manager in found.able])


def _higher_lanes(
    order: OrderRow, rows: Iterable[QueueRow], able: Sequence[Crew]
) -> list[tuple[str, int]]:
    """The lanes that claims walk before the order's own, those of its own queue first."""
    open_queues = [
        row.name
        for row in rows
        if row.paused_on is None
        and row.name not in (order.queue, ALL_QUEUES)
        and any(manager.serves(row.name) for manager in able)
    ]
    names = [order.queue, *open_queues[:MOST_QUEUES]]
    return [(name, number) for name in names for number in range(1, order.priority)]


def is_locked(database: Database, order_id: str) -> bool:
    """Whether somebody keeps the order locked. Asking locks it for a moment.

    Raises `DatabaseAway`.
    """
    return database.dialect == "postgresql" and not database.read(UNLOCKED, {"id": order_id})


def _longest(database: Database, managers: Sequence[str]) -> list[Run]:
    names = json.dumps(managers) if database.dialect == "sqlite" else list(managers)
    rows = database.read(RUNNING, {"managers": names, "most": LONGEST})
    return [Run(text_id(row[0]), *row[1:]) for row in rows]


def _names(text: str | None) -> frozenset[str] | None:
    return frozenset(text.split(",")) if text else None


def _told_names(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(filter(None, text.split(",")))

"""The relay: one manager of all keeps the broker topped up with ids of orders that are due.

No more than a window of them, in claim order, and again what was not taken. What the broker holds
is compared with what waits, so that nothing has to be remembered of what was sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import structlog

from database import Database
from ledger import Lane, chores, waiting_queues
from ledger.broker import chore_of, note_broker_away, note_broker_back
from ledger.claim_named import due
from manager.lanes import BOUNDS_MS
from manager.transports.base import Depth, Parcel, Transport, TransportDown
from models import PRIORITIES

# A relay that dies is not waited for longer.
HOLD_SECONDS = 6.0
# How often another looks whether it is needed.
LOOK_SECONDS = 2.0
# One that cannot reach the broker for so long lets another try, and waits so long itself.
YIELD_SECONDS = 10.0
AWAY_SECONDS = 0.25
# A shorter one was a connection that broke, and is none.
LEAST_OUTAGE_SECONDS = 0.5

FIRST_QUEUE = "default"
WINDOW = 1_000
# What comes late and is urgent goes beside a window that is full already.
MOST = 3 * WINDOW
BATCH = 250
# One in so many of a window may be of those that have waited beyond their bound.
OVERDUE_PART = 10
# A message is on its way for less than that.
SETTLED_SECONDS = 1.0
# So many may be in the hands of managers that claim just now.
IN_HAND = 200
REPEAT_SECONDS = 30.0
# Between two steps at least, also as a multiple of the last; and while more waits than the window
# holds.
LEAST_SECONDS = 0.005
REST = 3
BUSY_SECONDS = 0.02
FULL_SECONDS = 0.25

log = structlog.get_logger("capataz.manager")


class _Sent(NamedTuple):
    """When a message was sent last, and with which priority."""

    at: float
    rank: int


class Relay:
    """One step tops up every queue, if this manager is the one; the delay is until the next."""

    def __init__(
        self, database: Database, manager: str, transport: Transport, poll_seconds: float
    ) -> None:
        self._database = database
        self._manager = manager
        self._transport = transport
        self._poll_seconds = poll_seconds
        self._chore = chore_of(transport.name)
        self._held_until = 0.0
        self._look_at = 0.0
        self._step_at = 0.0
        self._left: dict[str, Any] = {}
        self._sent: dict[str, dict[str, _Sent]] = {}
        self._away_from: float | None = None

    def step(self) -> float:
        """Top up once. Raises `DatabaseAway`."""
        now = time.monotonic()
        if now < self._step_at:
            return self._step_at - now
        if not self._is_mine(now):
            self._step_at = now + LEAST_SECONDS
            return max(LEAST_SECONDS, self._look_at - now)
        try:
            delay = self._top_up()
        except TransportDown as error:
            return self._away(str(error))
        ended = time.monotonic()
        # Hints may come far more often than is worth its while, unless there is much to do.
        rest = REST * (ended - now) if delay > BUSY_SECONDS else 0
        self._step_at = ended + max(LEAST_SECONDS, rest)
        self._back()
        return delay

    def stop(self) -> None:
        """Let another take over at once."""
        if self._held_until:
            self._held_until = 0.0
            chores.keep(self._database, self._chore, self._manager, 0, self._left)

    def _is_mine(self, now: float) -> bool:
        if now < self._held_until - HOLD_SECONDS / 2:
            return True
        if self._held_until and self._keep(now):
            return True
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        left = chores.take(self._database, self._chore, self._manager, _ms(HOLD_SECONDS))
        if left is None:
            return False
        self._left, self._held_until = left, now + HOLD_SECONDS
        self._sent.clear()
        self._away_from = None
        return True

    def _keep(self, now: float) -> bool:
        hold = _ms(HOLD_SECONDS)
        if chores.keep(self._database, self._chore, self._manager, hold, self._left):
            self._held_until = now + HOLD_SECONDS
            return True
        self._held_until = 0.0
        return False

    def _top_up(self) -> float:
        waiting = waiting_queues(self._database)
        # Before the database is asked: what is taken meanwhile must not look lost. And when there
        # is nothing to do, whether it is there.
        depths = self._transport.depths(waiting or [FIRST_QUEUE])
        self._sent = {queue: sent for queue, sent in self._sent.items() if queue in waiting}
        delays = [self._top_up_queue(depth) for depth in depths if depth.queue in waiting]
        return min(delays, default=self._poll_seconds)

    def _top_up_queue(self, depth: Depth) -> float:
        queue, now = depth.queue, time.monotonic()
        before = self._sent.get(queue, {})
        walk = self._walk(queue)
        sent = {parcel.id: before[parcel.id] for parcel in walk if parcel.id in before}
        again = _lost(sent, depth, now)
        news = [p for p in walk if p.id not in sent or p.priority < sent[p.id].rank]
        repeats = [p for p in walk if p.id in again]
        held = depth.ready + (depth.unacked or 0)
        parcels = news[: max(0, MOST - held)] + repeats[: max(0, WINDOW - held)]
        for start in range(0, len(parcels), BATCH):
            batch = parcels[start : start + BATCH]
            self._transport.publish(batch)
            sent |= {parcel.id: _Sent(now, parcel.priority) for parcel in batch}
        self._sent[queue] = sent
        if len(walk) < WINDOW:
            return self._poll_seconds
        return BUSY_SECONDS if parcels or len(sent) < len(before) else FULL_SECONDS

    def _walk(self, queue: str) -> list[Parcel]:
        """What is due, in claim order, about a window of it. Behind more urgent orders, a part of
        those that wait too long goes as if it were urgent."""
        urgent = min(PRIORITIES.values())
        walk: list[Parcel] = []
        late: list[Parcel] = []
        for priority in sorted(PRIORITIES.values()):
            if walk and priority in BOUNDS_MS:
                lane, most = Lane(queue, priority, BOUNDS_MS[priority]), WINDOW // OVERDUE_PART // 2
                late += [Parcel(one, queue, urgent) for one in due(self._database, lane, most)]
            if len(walk) < WINDOW:
                found = due(self._database, Lane(queue, priority), WINDOW - len(walk))
                walk += [Parcel(one, queue, priority) for one in found]
        is_late = {parcel.id for parcel in late}
        walk = [parcel for parcel in walk if parcel.id not in is_late]
        for nth, parcel in enumerate(late, 1):
            walk.insert(nth * OVERDUE_PART - 1, parcel)
        return walk

    def _away(self, reason: str) -> float:
        now = time.monotonic()
        self._sent.clear()
        if self._away_from is None:
            self._away_from = now
        self._step_at = now + AWAY_SECONDS
        if now - self._away_from < LEAST_OUTAGE_SECONDS:
            return AWAY_SECONDS
        if self._left.get("away_since") is None:
            name, hold = self._transport.name, _ms(HOLD_SECONDS)
            since = note_broker_away(self._database, self._manager, name, reason, hold)
            if since is not None:
                self._left, self._held_until = {"away_since": since}, now + HOLD_SECONDS
                log.warning("the relay cannot reach the broker", transport=name, reason=reason)
            else:
                self._held_until = 0.0
        elif now - self._away_from > YIELD_SECONDS:
            self.stop()
            self._look_at = now + LOOK_SECONDS
        return AWAY_SECONDS

    def _back(self) -> None:
        self._away_from = None
        since = self._left.get("away_since")
        if since is None:
            return
        name, hold = self._transport.name, _ms(HOLD_SECONDS)
        if note_broker_back(self._database, self._manager, name, since, hold):
            self._held_until = time.monotonic() + HOLD_SECONDS
            log.info("the relay reaches the broker again", transport=name)
        else:
            self._held_until = 0.0
        self._left = {}


def _lost(sent: Mapping[str, _Sent], depth: Depth, now: float) -> set[str]:
    """Of those that still wait, which to send again: all when the broker holds clearly fewer, and
    what is old when it holds fewer at all."""
    settled = {one for one, (at, _) in sent.items() if now - at > SETTLED_SECONDS}
    if len(settled) <= depth.ready + (depth.unacked or 0):
        return set()
    if not depth.ready or len(settled) > depth.ready + (depth.unacked or IN_HAND):
        return settled
    return _older(settled, sent, now)


def _older(some: Iterable[str], sent: Mapping[str, _Sent], now: float) -> set[str]:
    return {one for one in some if now - sent[one].at > REPEAT_SECONDS}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""A claimer's side of a broker: receives ids while a worker is free for them, claims by them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from database import Database, DatabaseAway
from ledger import Claimed
from ledger.claim_named import claim_named
from manager.pace import Pace
from manager.transports.base import Delivery, Transport, TransportDown
from manager.transports.database import Polling

WAIT_SECONDS = 1.0
AWAY_SECONDS = 0.5
# Between two looks at which queues there are.
QUEUES_SECONDS = 0.2
# Queues in which orders waited are received from for so long after, and so many of them.
KEPT_SECONDS = 3_600.0
MOST_KEPT = 100
# A worker that was free for so many polls and was brought nothing looks for itself.
QUIET_POLLS = 3
QUIET_SECONDS = 1.0
# After orders that were not short where only short ones had room, nothing is taken ahead for so
# long: they would only go to and fro.
LONG_SECONDS = 2.0
FIRST_QUEUE = "default"

log = structlog.get_logger("capataz.manager")


class Post:
    """A `Source` that claims what a broker brings; the database is polled while that is away.

    A message is acked when the claim has committed, or when its order cannot be claimed: the relay
    sends it again when it can. So a broker waits for no order to run.
    """

    def __init__(
        self,
        database: Database,
        manager: str,
        *,
        transport: Transport,
        polling: Polling,
        pace: Pace,
        poll_seconds: float,
        served: Sequence[str] = (),
        kept: int = 0,
    ) -> None:
        """`kept` messages may be held for workers that are not free yet."""
        self._database = database
        self._manager = manager
        self._transport = transport
        self._polling = polling
        self._pace = pace
        self._served = tuple(served)
        self._kept = kept
        self._quiet_seconds = max(QUIET_POLLS * poll_seconds, QUIET_SECONDS)
        self._changed = threading.Condition()
        self._box: deque[Delivery] = deque()
        self._wanted = 0
        self._turn = 0
        self._queues: dict[str, float] = {}
        self._look_at = 0.0
        self._quiet_since: float | None = None
        self._short_until = 0.0
        # Whether it brings nothing although there is something.
        self._is_idle = False
        self._closed = False
        self._said_away = False
        self.is_up = False
        """Whether the broker answered when it was last asked."""
        self.received = self.dropped = self.found = 0
        self.woken: Callable[[], None] = lambda: None
        """Called when something has arrived, or when the broker is found to be away."""
        self._thread = threading.Thread(target=self._run, name="post", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, free: int, ahead: int) -> list[Claimed]:
        self._refresh()
        if not self.is_up:
            self._want(free + ahead)
            return self._polling.take(free, ahead)
        if time.monotonic() < self._short_until:
            ahead = 0
        deliveries = self._collect(free + ahead)
        if not deliveries:
            return self._look(free, ahead) if self._was_quiet(free) else []
        claimed = self._claim(deliveries, free, ahead)
        self._want(max(0, free + ahead - len(claimed)))
        return claimed

    def rest(self) -> None:
        with self._changed:
            self._wanted = 0
            self._quiet_since = None
            back = [self._box.pop() for _ in range(len(self._box) - self._kept)]
        self._give_back(back)

    def close(self) -> None:
        """Receive no more; what was received and not claimed goes back. Safe twice.

        Its thread ends when the receiving under way does, at the latest with the transport.
        """
        with self._changed:
            self._closed = True
            self._wanted = 0
            back = list(self._box)
            self._box.clear()
            self._changed.notify_all()
        self._give_back(back)

    def _claim(self, deliveries: Sequence[Delivery], free: int, ahead: int) -> list[Claimed]:
        poison = [one for one in deliveries if one.id is None]
        good = {one.id: one for one in deliveries if one.id is not None}
        if poison:
            log.warning("messages that name no order were put aside", messages=len(poison))
        short = self._pace.short() if ahead else ()
        try:
            taken = claim_named(
                self._database, self._manager, list(good), free, ahead, short, self._served
            )
        except DatabaseAway:
            # Whether or not the claim took: what it did not take is for anybody.
            self._give_back(deliveries)
            raise
        left = [good[one] for one in taken.left]
        if left:
            self._short_until = time.monotonic() + LONG_SECONDS
        self._settle(self._transport.nack, left)
        self._settle(self._transport.refuse, poison)
        back = set(taken.left)
        # Of the same order twice, one is as good as the other.
        done = [one for one in deliveries if one.id is not None and one.id not in back]
        self._settle(self._transport.ack, done)
        self.dropped += len(done) - len(taken.claimed)
        return taken.claimed

    def _look(self, free: int, ahead: int) -> list[Claimed]:
        """What the broker should have brought. There may be more of it, so long as it brings
        nothing."""
        claimed = self._polling.take(free, ahead)
        self.found += len(claimed)
        self._is_idle = len(claimed) >= free
        self._want(max(0, free + ahead - len(claimed)))
        return claimed

    def _collect(self, most: int) -> list[Delivery]:
        """What has arrived, at most so many; the rest is wanted."""
        with self._changed:
            found = [self._box.popleft() for _ in range(min(most, len(self._box)))]
            if found:
                self._quiet_since = None
                self._is_idle = False
        if not found:
            self._want(most)
        return found

    def _want(self, count: int) -> None:
        with self._changed:
            self._wanted = count
            if count and self._quiet_since is None:
                self._quiet_since = time.monotonic()
            self._changed.notify_all()

    def _was_quiet(self, free: int) -> bool:
        """Whether a worker was free for so long, and nothing came, that it should look itself."""
        now = time.monotonic()
        if not free or self._quiet_since is None:
            return False
        if now - self._quiet_since < self._quiet_seconds and not self._is_idle:
            return False
        self._quiet_since = now
        return True

    def _refresh(self) -> None:
        """Which queues there are to receive from."""
        now = time.monotonic()
        if self._served or now < self._look_at:
            return
        self._look_at = now + QUEUES_SECONDS
        known = dict.fromkeys((FIRST_QUEUE, *self._polling.queues()), now)
        kept = {name: at for name, at in self._queues.items() if now - at < KEPT_SECONDS}
        latest = sorted((kept | known).items(), key=lambda one: -one[1])
        with self._changed:
            self._queues = dict(latest[: max(MOST_KEPT, len(known))])

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            try:
                found = self._receive(wanted)
            except TransportDown as error:
                self._away(str(error))
            except Exception:
                log.exception("receiving failed; it will be tried again")
                self._away("an error of our own")
            else:
                self._put(found)

    def _receive(self, wanted: int) -> list[Delivery]:
        with self._changed:
            queues = list(self._served or self._queues or (FIRST_QUEUE,))
            self._turn += 1
            turn = self._turn % len(queues)
            was_up = self.is_up
        # One that was away is asked whether it is there, not waited for.
        seconds = WAIT_SECONDS if was_up else 0.0
        return self._transport.receive([*queues[turn:], *queues[:turn]], wanted, seconds)

    def _next(self) -> int | None:
        """Wait until messages are wanted; how many, None when it is over."""
        with self._changed:
            while not self._closed:
                wanted = self._wanted + self._kept - len(self._box)
                if self._wanted and wanted > 0:
                    return wanted
                self._changed.wait()
            return None

    def _put(self, found: Sequence[Delivery]) -> None:
        with self._changed:
            came_up, self.is_up = not self.is_up, True
            room = max(0, self._wanted + self._kept - len(self._box))
            self._box.extend(found[:room])
            self.received += len(found)
        if came_up and self._said_away:
            self._said_away = False
            log.info("the broker is back", transport=self._transport.name)
        self._give_back(found[room:])
        if found:
            self.woken()

    def _away(self, reason: str) -> None:
        with self._changed:
            if self._closed:
                return
            self.is_up = False
            # They come again.
            self._box.clear()
            first, self._said_away = not self._said_away, True
        if first:
            log.warning(
                "the broker is away; polling the database until it is back",
                transport=self._transport.name,
                reason=reason,
            )
            self.woken()
        with self._changed:
            self._changed.wait_for(lambda: self._closed, AWAY_SECONDS)

    def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(self._transport.nack, deliveries)

    def _settle(
        self, how: Callable[[Sequence[Delivery]], None], deliveries: Sequence[Delivery]
    ) -> None:
        if not deliveries:
            return
        try:
            how(deliveries)
        except TransportDown as error:
            # Then they come again, and are found to be claimed.
            log.debug("a broker was not told", reason=str(error))

"""What brings orders to the claimer: the database alone, or a broker with a relay before it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from database import DatabaseAway
from manager.core import Core
from manager.lanes import Lanes
from manager.loop import Loop
from manager.relay import Relay
from manager.transports.base import Transport
from manager.transports.database import Polling
from manager.transports.post import Post
from manager.transports.source import Source

STOP_SECONDS = 5.0

log = structlog.get_logger("capataz.manager")


class Carrier:
    """A source of orders, and what must run for it."""

    def __init__(
        self, source: Source, post: Post | None = None, relay: Relay | None = None
    ) -> None:
        self.source = source
        self._post = post
        self._relay = relay
        self._relaying = Loop("relay", relay.step) if relay is not None else None

    @property
    def on_arrival(self) -> Callable[[], None] | None:
        """What is called when something has arrived."""
        return None if self._post is None else self._post.woken

    @on_arrival.setter
    def on_arrival(self, woken: Callable[[], None]) -> None:
        if self._post is not None:
            self._post.woken = woken

    def start(self) -> None:
        if self._post is not None:
            self._post.start()
        if self._relaying is not None:
            self._relaying.start()

    def wake(self) -> None:
        """There may be something new to send."""
        if self._relaying is not None:
            self._relaying.wake()

    def stop(self) -> None:
        """Send and receive no more; another relay may take over. Safe twice, and before start."""
        if self._relaying is not None and self._relay is not None:
            self._relaying.stop(STOP_SECONDS)
            try:
                self._relay.stop()
            except DatabaseAway as error:
                log.debug("the relay was not handed over", reason=str(error))
        if self._post is not None:
            self._post.close()


def make_carrier(core: Core, transport: Transport | None) -> Carrier:
    """What carries by that transport, or by none but the database; nothing of it runs yet."""
    settings, database = core.settings, core.database
    polling = Polling(database, core.name, Lanes(), core.pace, settings.queues)
    if transport is None:
        return Carrier(polling)
    post = Post(
        database,
        core.name,
        transport=transport,
        polling=polling,
        pace=core.pace,
        poll_seconds=settings.poll_seconds,
        served=settings.queues,
        kept=(settings.prefetch - 1) * settings.max_workers,
    )
    return Carrier(post, post, Relay(database, core.name, transport, settings.poll_seconds))

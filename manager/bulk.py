"""Works off what is to be done to all orders that match."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from database import Database, RowsLocked
from ledger import bulk

# How often actions are looked for, and how long one tick works at them.
LOOK_SECONDS = 1.0
TICK_SECONDS = 0.5

log = structlog.get_logger("capataz.manager")


class BulkActions:
    """Any number of managers may do this: one works at an action at a time, another goes on."""

    def __init__(
        self,
        database: Database,
        manager: str,
        woken: Callable[[], None],
        cancelled: Callable[[], None],
    ) -> None:
        """`woken` is called when orders were made to run again, `cancelled` when some were."""
        self._database = database
        self._manager = manager
        self._tell = {bulk.RETRY: woken, bulk.CANCEL: cancelled}
        self._most = bulk.BATCH

    def tick(self) -> None:
        """Go on with the oldest action for half a second at most. Raises `DatabaseAway`."""
        until = time.monotonic() + TICK_SECONDS
        while time.monotonic() < until:
            action = bulk.take(self._database, self._manager)
            if action is None:
                return
            self._work(action, until)

    def _work(self, action: bulk.ActionRow, until: float) -> None:
        while True:
            after = self._step(action)
            if after is None:
                return
            if after.done > action.done and action.kind in self._tell:
                self._tell[action.kind]()
            action = after
            if action.state == bulk.DONE:
                log.info(
                    "a bulk action is done",
                    action=action.id,
                    kind=action.kind,
                    total=action.total,
                    done=action.done,
                )
                return
            if time.monotonic() >= until:
                return

    def _step(self, action: bulk.ActionRow) -> bulk.ActionRow | None:
        try:
            after = bulk.step(self._database, action, self._most)
        except RowsLocked:
            # What comes before the order that somebody keeps locked is done; then it is waited for
            # with no other in hand.
            self._most = max(1, self._most // 4)
            raise
        self._most = min(bulk.BATCH, 2 * self._most)
        return after

"""The observer: looks at the broker in use, for all, and keeps what it says in the database."""

from __future__ import annotations

from collections.abc import Callable

from database import Database
from ledger.broker_sight import BrokerLook, keep_look, last_look
from manager.transports.base import TransportDown

TICK_SECONDS = 1.0


class Observer:
    """One manager's look serves all: who comes after it within moments has nothing to do."""

    def __init__(
        self, database: Database, manager: str, broker: str, look: Callable[[], BrokerLook]
    ) -> None:
        """`look` asks the broker of that name, and raises `TransportDown`."""
        self._database = database
        self._manager = manager
        self._broker = broker
        self._look = look

    def tick(self) -> None:
        """Look when it is due. Raises `DatabaseAway`."""
        last, is_due = last_look(self._database, self._broker)
        if not is_due:
            return
        try:
            seen = self._look()
        except TransportDown as error:
            seen = BrokerLook(away=str(error))
        keep_look(self._database, self._broker, self._manager, last, seen)

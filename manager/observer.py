"""The observer: looks at the broker in use, for all, and keeps what it says in the database."""

from __future__ import annotations

from database import Database
from ledger import queues
from ledger.broker_sight import BrokerLook, QueueLoad, keep_look, last_look
from manager.intake.mailbox import Mailbox
from manager.transports.base import Transport, TransportDown
from models import ALL_QUEUES

TICK_SECONDS = 2.5
# The first by name; a broker is asked for each of them.
MOST_QUEUES = 100


class Observer:
    """One manager's look serves all: who comes after it within moments has nothing to do."""

    def __init__(
        self, database: Database, manager: str, transport: Transport, mailbox: Mailbox
    ) -> None:
        self._database = database
        self._manager = manager
        self._transport = transport
        self._mailbox = mailbox

    def tick(self) -> None:
        """Look when it is due. Raises `DatabaseAway`."""
        last, is_due = last_look(self._database, self._transport.name)
        if not is_due:
            return
        try:
            seen = self._look()
        except TransportDown as error:
            seen = BrokerLook(away=str(error))
        keep_look(self._database, self._transport.name, self._manager, last, seen)

    def _look(self) -> BrokerLook:
        names = [row.name for row in queues(self._database) if row.name != ALL_QUEUES]
        depths = self._transport.depths(names[:MOST_QUEUES])
        submitted, refused = self._mailbox.look()
        return BrokerLook([QueueLoad(*depth) for depth in depths], submitted, refused)

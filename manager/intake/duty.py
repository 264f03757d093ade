"""The intake: makes an order of each message that asks for one, exactly once.

The message's id is the key of the submit, kept in the transaction of the order, and the broker is
told only after the commit: what comes again, for whatever reason, finds its order there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

import ledger
from database import Database, DatabaseAway
from ledger.mail import note_refused
from manager.intake.mailbox import Mailbox, Message, Refusal
from manager.intake.reader import read
from manager.transports.base import TransportDown
from settings import Settings

# A tick waits for messages nearly until the next one is due.
TICK_SECONDS = 1.0
WAIT_SECONDS = 0.8
BATCH = 200
AWAY_SECONDS = 2.0
# A message that the database would not take so often, for no reason that anybody knows.
MOST_FAILURES = 5
MOST_REMEMBERED = 10_000

log = structlog.get_logger("capataz.manager")


class Intake:
    """Any number of managers may do this: each message goes to one of them at a time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        manager: str,
        mailbox: Mailbox,
        woken: Callable[[], None],
        wait_seconds: float = WAIT_SECONDS,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        """`woken` is called when there are new orders. A tick takes `wait_seconds`; after a failure
        of the broker or of the database nothing is tried for `away_seconds`."""
        self._settings = settings
        self._database = database
        self._manager = manager
        self._mailbox = mailbox
        self._woken = woken
        self._wait_seconds = wait_seconds
        self._away_seconds = away_seconds
        self._not_before = 0.0
        self._failures: Counter[str] = Counter()
        self._is_away = False
        self._closed = False

    def tick(self) -> None:
        """Take what is there, and wait nearly a second for more. Raises `DatabaseAway`."""
        until = time.monotonic() + self._wait_seconds
        while self._not_before <= time.monotonic() < until and not self._closed:
            try:
                self._step(max(0.0, until - time.monotonic()))
            except TransportDown as error:
                if self._closed:
                    return
                self._not_before = time.monotonic() + self._away_seconds
                if not self._is_away:
                    log.warning("the broker is away: no orders arrive by it", reason=str(error))
                self._is_away = True
                return
            if self._is_away:
                self._is_away = False
                log.info("the broker is back: orders arrive by it again")

    def close(self) -> None:
        """Leave the broker."""
        self._closed = True
        self._mailbox.close()

    def _step(self, seconds: float) -> None:
        messages = self._mailbox.receive(BATCH, seconds)
        wanted: list[tuple[Message, ledger.Request]] = []
        refused: list[tuple[Message, Refusal]] = []
        for message in messages:
            found = read(self._settings, message)
            if isinstance(found, Refusal):
                refused.append((message, found))
            else:
                wanted.append((message, found))
        if wanted:
            refused += self._submit(wanted)
        if refused:
            self._refuse(refused)

    def _submit(
        self, wanted: Sequence[tuple[Message, ledger.Request]]
    ) -> list[tuple[Message, Refusal]]:
        """Make the orders and say so; the messages that the ledger refused."""
        try:
            receipts = ledger.submit(self._database, [request for _, request in wanted])
        except DatabaseAway:
            self._put_off([message for message, _ in wanted])
            raise
        except Exception as error:  # the fault of one message must not harm the others
            if len(wanted) > 1:
                return [refusal for one in wanted for refusal in self._submit([one])]
            return self._failed(wanted[0][0], error)
        self._woken()
        refused, done = [], []
        for (message, _), receipt in zip(wanted, receipts, strict=True):
            if receipt.refusal is not None:
                refused.append((message, Refusal(str(receipt.refusal))))
                continue
            self._mailbox.answer(message, {"id": receipt.ids[0]})
            done.append(message)
        self._mailbox.accept(done)
        return refused

    def _failed(self, message: Message, error: Exception) -> list[tuple[Message, Refusal]]:
        log.exception("a message could not be made an order", message=message.key)
        key = message.key or ""
        if len(self._failures) > MOST_REMEMBERED:
            self._failures.clear()
        self._failures[key] += 1
        if self._failures[key] < MOST_FAILURES:
            self._mailbox.later([message], self._away_seconds)
            return []
        del self._failures[key]
        told = f"The order could not be stored: {type(error).__name__}; the manager's log has more."
        return [(message, Refusal(told))]

    def _put_off(self, messages: Sequence[Message]) -> None:
        self._not_before = time.monotonic() + self._away_seconds
        self._mailbox.later(messages, self._away_seconds)

    def _refuse(self, refused: Sequence[tuple[Message, Refusal]]) -> None:
        """Out of the way with them, but not out of sight."""
        told = [(message.key or "", refusal.line()) for message, refusal in refused]
        try:
            note_refused(self._database, self._manager, self._mailbox.via, told)
        except DatabaseAway:
            self._put_off([message for message, _ in refused])
            raise
        for message, refusal in refused:
            self._mailbox.refuse(message, refusal)
            self._mailbox.answer(message, refusal.document())
        log.warning(
            "messages made no orders and were put aside",
            via=self._mailbox.via,
            messages=len(refused),
            reason=told[0][1],
        )

"""Group commit: one thread of a web process submits what all of its requests wait for.

A commit costs the same for one order as for a hundred, so whatever arrives while one commit runs
goes into the next. Each request gets its own receipt or its own exception.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import ledger
from api.errors import Busy
from api.queries import created
from database import Database, DatabaseAway
from ledger.hints import Bell

WAIT_SECONDS = 10.0
MAX_ORDERS = 10_000

_log = logging.getLogger("capataz.api")


class Accepted(NamedTuple):
    """What became of a request: its ids, and for a single new order its times (ms, 0 unknown)."""

    ids: list[str]
    replayed: bool
    created_on: int = 0
    run_at: int = 0


class _Ticket:
    """One request in the queue, and its outcome."""

    __slots__ = ("accepted", "error", "ready", "request", "taken")

    def __init__(self, request: ledger.Request) -> None:
        self.request = request
        self.taken = False
        self.accepted: Accepted | None = None
        self.error: Exception | None = None
        # A bare lock is the cheapest way to wait for one answer.
        self.ready = threading.Lock()
        self.ready.acquire()


class Committer:
    """Takes requests from any thread; its own thread starts with the first one."""

    def __init__(self, database: Database, bell: Bell, wait_seconds: float = WAIT_SECONDS) -> None:
        self._database = database
        self._bell = bell
        self._wait_seconds = wait_seconds
        self._queue: deque[_Ticket] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, request: ledger.Request) -> Accepted:
        """Submit durably; returns after the commit.

        Raises `KeyReused`, `KeySpent`, `DatabaseAway`, and `Busy` when it took longer than the
        bounded wait: a request that was not begun by then is withdrawn.
        """
        ticket = _Ticket(request)
        with self._changed:
            if self._closed:
                raise Busy("The server is stopping and accepted nothing: try again.")
            self._queue.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            self._changed.notify()
        if not ticket.ready.acquire(timeout=self._wait_seconds):
            self._withdraw(ticket)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.accepted is not None
        return ticket.accepted

    def close(self) -> None:
        """Commit what was accepted, then stop; later requests are refused. Safe twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(2 * self._wait_seconds)

    def _withdraw(self, ticket: _Ticket) -> None:
        with self._changed:
            if not ticket.taken:
                self._queue.remove(ticket)
                raise Busy("The database is too slow just now and accepted nothing: try again.")
        if ticket.ready.acquire(timeout=self._wait_seconds):
            return
        raise Busy(
            "The database is too slow just now; whether the order was accepted is not known. "
            "Repeating the request with the same Idempotency-Key is safe."
        )

    def _run(self) -> None:
        while batch := self._take():
            try:
                with self._database.session():
                    self._commit(batch)
            except Exception as error:  # whoever waits must hear of it, whatever it was
                if not isinstance(error, DatabaseAway):
                    _log.exception("a batch of submits failed")
                for ticket in batch:
                    ticket.error = ticket.error or error
            for ticket in batch:
                ticket.ready.release()
        self._database.close()

    def _take(self) -> list[_Ticket]:
        """The next batch, as soon as there is one; nothing when closed and worked off."""
        batch: list[_Ticket] = []
        orders = 0
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            while self._queue:
                orders += len(self._queue[0].request.orders)
                if batch and orders > MAX_ORDERS:
                    break
                ticket = self._queue.popleft()
                ticket.taken = True
                batch.append(ticket)
        return batch

    def _commit(self, batch: Sequence[_Ticket]) -> None:
        try:
            receipts = ledger.submit(self._database, [ticket.request for ticket in batch])
        except DatabaseAway as error:
            for ticket in batch:
                ticket.error = error
            return
        except Exception as error:  # the fault of one request must not harm the others
            if len(batch) == 1:
                _log.exception("a submit failed")
                batch[0].error = error
                return
            for ticket in batch:
                self._commit([ticket])
            return
        self._bell.ring()
        self._hand_out(batch, receipts)

    def _hand_out(self, batch: Sequence[_Ticket], receipts: Sequence[ledger.Receipt]) -> None:
        single = [r.ids[0] for r in receipts if len(r.ids) == 1 and not r.replayed]
        try:
            times = created(self._database, single) if single else {}
        except DatabaseAway:  # committed all the same
            times = {}
        for ticket, receipt in zip(batch, receipts, strict=True):
            if receipt.refusal is not None:
                ticket.error = receipt.refusal
                continue
            when = times.get(receipt.ids[0], (0, 0)) if receipt.ids else (0, 0)
            ticket.accepted = Accepted(receipt.ids, receipt.replayed, *when)

"""The managers' own rows: who is there, how often they beat, and since when they are gone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from database import Database, Sql, Transaction
from ledger.lifeline import UNPROVEN, Proof
from ledger.record import note

# Who gave no sign of life for so many heartbeats is called silent.
SILENT_BEATS = 3


@dataclass(frozen=True, slots=True)
class ManagerCard:
    """What a manager says of itself when it starts; times in ms.

    `queues` and `types` are names with commas between; None is all queues, and types not told.
    """

    id: str
    host: str
    pid: int
    version: str
    transport: str
    slots: int
    queues: str | None
    heartbeat_ms: int
    stale_ms: int
    process: str | None = None
    proof: Proof = UNPROVEN
    types: str | None = None


class ManagerRow(NamedTuple):
    """A manager as the database knows it; `silent_ms` is how long ago it last beat."""

    id: str
    host: str
    pid: int
    version: str
    transport: str
    state: str
    slots: int
    started_on: int
    last_beat: int
    stale_ms: int
    ended_on: int | None
    silent_ms: int
    heartbeat_ms: int

    @property
    def lives(self) -> bool:
        """Whether it gave a sign of life within its own stale time."""
        return self.ended_on is None and self.silent_ms < self.stale_ms

    @property
    def beats(self) -> bool:
        """Whether it lives and has not missed its last heartbeats: else it is silent."""
        return self.lives and self.silent_ms < SILENT_BEATS * self.heartbeat_ms


REGISTER = Sql("""
    INSERT INTO manager (id, host, pid, version, transport, state, slots, queues, heartbeat_ms,
        stale_ms, process, types, proof, epoch, server, started_on, last_beat)
    VALUES (:id, :host, :pid, :version, :transport, 'running', :slots, :queues, :heartbeat_ms,
        :stale_ms, :process, :types, :kind, :epoch, :server, {now}, {now})""")

RETIRE = Sql("""
    UPDATE manager SET state = 'stopped', ended_on = {now}, last_beat = {now} WHERE id = :id""")

MANAGERS = Sql("""
    SELECT id, host, pid, version, transport, state, slots, started_on, last_beat, stale_ms,
        ended_on, {now} - last_beat, heartbeat_ms
    FROM manager ORDER BY started_on, id""")


def register(database: Database, card: ManagerCard) -> None:
    """Make a new manager known. Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> None:
        transaction.run(REGISTER, asdict(card) | card.proof._asdict())
        note(transaction, "manager_started", card.id, slots=card.slots)

    database.write(work)


def retire(database: Database, manager: str, reason: str) -> None:
    """Note that a manager has stopped in good order, and why. Raises `DatabaseAway`."""

    def work(transaction: Transaction) -> None:
        transaction.run(RETIRE, {"id": manager})
        note(transaction, "manager_stopped", manager, reason=reason)

    database.write(work)


def managers(database: Database) -> list[ManagerRow]:
    """Every manager that has a row, the oldest first. Raises `DatabaseAway`."""
    return [ManagerRow._make(row) for row in database.read(MANAGERS)]

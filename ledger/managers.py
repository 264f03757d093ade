"""The managers' own rows: who is there, how often they beat, and since when they are gone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from database import Database, Sql, Transaction
from ledger.lifeline import UNPROVEN, Proof
from ledger.record import note


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


REGISTER = Sql("""
    INSERT INTO manager (id, host, pid, version, transport, state, slots, queues, heartbeat_ms,
        stale_ms, process, types, proof, epoch, server, started_on, last_beat)
    VALUES (:id, :host, :pid, :version, :transport, 'running', :slots, :queues, :heartbeat_ms,
        :stale_ms, :process, :types, :kind, :epoch, :server, {now}, {now})""")

RETIRE = Sql("""
    UPDATE manager SET state = 'stopped', ended_on = {now}, last_beat = {now} WHERE id = :id""")

MANAGERS = Sql("""
    SELECT id, host, pid, version, transport, state, slots, started_on, last_beat, stale_ms,
        ended_on, {now} - last_beat
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

"""The heartbeat: a manager's row and all of its leases, renewed in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from database import Database, Sql, Transaction
from ledger.ids import text_id
from ledger.lifeline import UNPROVEN, Proof
from ledger.orders import Beat, LostLease
from models import NOTHING

_RENEW = """
    UPDATE job_order AS o SET last_updated = {{now}}, worker = coalesce({worker}, o.worker),
        started_on = coalesce(o.started_on, {{now}} - {age_ms}),
        progress = coalesce({progress}, o.progress)"""
_NAMES = ("worker", "age_ms", "progress")

RENEW = Sql(
    sqlite=_RENEW.format(**{name: f":{name}" for name in _NAMES})
    + " WHERE id = :id AND lease = :lease AND status = 'wip' RETURNING id, lease",
    postgres=_RENEW.format(**{name: f"i.{name}" for name in _NAMES})
    + """
    FROM unnest(CAST(:id AS uuid[]), CAST(:lease AS bigint[]), CAST(:worker AS text[]),
        CAST(:age_ms AS bigint[]), CAST(:progress AS text[]))
        AS i (id, lease, worker, age_ms, progress)
    WHERE o.id = i.id AND o.lease + 0 = i.lease AND o.status || '' = 'wip'
    RETURNING o.id, o.lease""",
)

_by_lease = itemgetter(0, 1)

STATUSES = Sql("SELECT id, status FROM job_order WHERE id {among}")

# One that was given up as lost, and comes back, is there again; one that has stopped stays so.
BEAT = Sql("""
    UPDATE manager SET last_beat = {now}, state = :state, ended_on = NULL, proof = :kind,
        epoch = :epoch, server = :server
    WHERE id = :id AND state <> 'stopped'""")


def renew(
    database: Database,
    manager: str,
    beats: Sequence[Beat],
    state: str = "running",
    proof: Proof = UNPROVEN,
) -> list[LostLease]:
    """Sign of life for a manager and for what it holds; the leases that it has lost.

    `proof` is what its lifeline says of its lock just now.

    A lost order that reads `cancelled` must be stopped; any other status means that somebody else
    took it back. Raises `DatabaseAway`.
    """
    ordered = sorted(beats, key=_by_lease)

    def work(transaction: Transaction) -> list[LostLease]:
        transaction.run(BEAT, {"id": manager, "state": state, **proof._asdict()})
        if not ordered:
            return []
        held = _renew(transaction, ordered)
        missing = [beat for beat in ordered if (beat.id, beat.lease) not in held]
        return _statuses(transaction, missing) if missing else []

    return database.write(work)


def _renew(transaction: Transaction, beats: Sequence[Beat]) -> set[tuple[str, int]]:
    if transaction.dialect == "sqlite":
        rows = transaction.many_rows(
            RENEW, ({**beat._asdict(), "id": transaction.key(beat.id)} for beat in beats)
        )
    else:
        columns = map(list, zip(*beats, strict=True))
        rows = transaction.rows(RENEW, dict(zip(Beat._fields, columns, strict=True)))
    return {(text_id(order_id), lease) for order_id, lease in rows}


def _statuses(transaction: Transaction, missing: Sequence[Beat]) -> list[LostLease]:
    rows = transaction.rows(STATUSES, {"ids": transaction.ids(beat.id for beat in missing)})
    now = {text_id(order_id): status for order_id, status in rows}
    return [LostLease(beat.id, beat.lease, now.get(beat.id, NOTHING)) for beat in missing]

"""The heartbeat: a manager's row and all of its leases, renewed in one transaction.

It waits for no row. On PostgreSQL one that somebody holds locked, were it for hours, is left out
of this beat, since whoever waited for it would lose all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from database import Database, RowsLocked, Sql, Transaction
from ledger.ids import text_id
from ledger.lifeline import Proof
from ledger.orders import Beat, LostLease
from models import NOTHING, WIP

_RENEW = """
    UPDATE job_order AS o SET last_updated = {{now}}, worker = coalesce({worker}, o.worker),
        started_on = coalesce(o.started_on, {{now}} - {age_ms}),
        progress = coalesce({progress}, o.progress)"""
_NAMES = ("worker", "age_ms", "progress")

RENEW = Sql(
    sqlite=_RENEW.format(**{name: f":{name}" for name in _NAMES})
    + " WHERE id = :id AND lease = :lease AND status = 'wip' RETURNING id, lease",
    postgres="""
    WITH i AS MATERIALIZED (
        SELECT b.*
        FROM unnest(CAST(:id AS uuid[]), CAST(:lease AS bigint[]), CAST(:worker AS text[]),
            CAST(:age_ms AS bigint[]), CAST(:progress AS text[]))
            AS b (id, lease, worker, age_ms, progress)
        JOIN job_order AS o
            ON o.id = b.id AND o.lease + 0 = b.lease AND o.status || '' = 'wip'
        ORDER BY o.id FOR NO KEY UPDATE OF o SKIP LOCKED)"""
    + _RENEW.format(**{name: f"i.{name}" for name in _NAMES})
    + """
    FROM i WHERE o.id = i.id RETURNING o.id, o.lease""",
)

# Locked rows are left out; this is for a lock on all the table, as maintenance takes.
PATIENCE = Sql("SET LOCAL lock_timeout = '1s'")

_by_lease = itemgetter(0, 1)

STATUSES = Sql("SELECT id, status, lease FROM job_order WHERE id {among}")

# One that was given up as lost, and comes back, is there again; one that has stopped stays so.
_BEAT = """
    UPDATE manager SET last_beat = {{now}}, state = :state, ended_on = NULL{proof}
    WHERE id = {id}"""
_ID = "(SELECT id FROM manager WHERE id = :id AND state <> 'stopped'{lock})"
_LOCK = " FOR NO KEY UPDATE SKIP LOCKED"
BEAT, BEAT_WITH_PROOF = (
    Sql(
        sqlite=_BEAT.format(proof=proof, id=_ID.format(lock="")),
        postgres=_BEAT.format(proof=proof, id=_ID.format(lock=_LOCK)),
    )
    for proof in ("", ", proof = :kind, epoch = :epoch, server = :server")
)


def renew(
    database: Database,
    manager: str,
    beats: Sequence[Beat],
    state: str = "running",
    proof: Proof | None = None,
) -> list[LostLease]:
    """Sign of life for a manager and for what it holds; the leases that it has lost.

    `proof` is what its lifeline says of its lock just now; None leaves what the row says of it: of
    two threads that renew, one may have read an older proof, so only one of them may write it.

    A lost order that reads `cancelled` must be stopped; any other status means that somebody else
    took it back. Raises `DatabaseAway`.
    """
    ordered = sorted(beats, key=_by_lease)
    mine = {"id": manager, "state": state}

    def sign_of_life(transaction: Transaction) -> None:
        if transaction.dialect == "postgresql":
            transaction.run(PATIENCE)
        if proof is None:
            transaction.run(BEAT, mine)
        else:
            transaction.run(BEAT_WITH_PROOF, mine | proof._asdict())

    def work(transaction: Transaction) -> list[LostLease]:
        sign_of_life(transaction)
        if not ordered:
            return []
        held = _renew(transaction, ordered)
        missing = [beat for beat in ordered if (beat.id, beat.lease) not in held]
        return _lost(transaction, missing) if missing else []

    try:
        return database.write(work)
    except RowsLocked:
        # The whole table of orders is locked. Of who beats nobody takes any, once it is not.
        database.write(sign_of_life)
        return []


def _renew(transaction: Transaction, beats: Sequence[Beat]) -> set[tuple[str, int]]:
    if transaction.dialect == "sqlite":
        rows = transaction.many_rows(
            RENEW, ({**beat._asdict(), "id": transaction.key(beat.id)} for beat in beats)
        )
    else:
        columns = map(list, zip(*beats, strict=True))
        rows = transaction.rows(RENEW, dict(zip(Beat._fields, columns, strict=True)))
    return {(text_id(order_id), lease) for order_id, lease in rows}


def _lost(transaction: Transaction, missing: Sequence[Beat]) -> list[LostLease]:
    rows = transaction.rows(STATUSES, {"ids": transaction.ids(beat.id for beat in missing)})
    now = {text_id(order_id): (status, lease) for order_id, status, lease in rows}
    return [
        LostLease(beat.id, beat.lease, now.get(beat.id, (NOTHING, 0))[0])
        for beat in missing
        # Another's lock kept it out of this beat: what becomes of it the next one tells.
        if now.get(beat.id) != (WIP, beat.lease)
    ]

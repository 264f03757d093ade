"""Submitting: new orders, many requests in one transaction, each with its idempotency key."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from database import Database, DatabaseAway, Sql, Transaction
from ledger.ids import pack, text_id, unpack
from ledger.orders import KeyReused, KeySpent, NewOrder, Receipt, Request
from ledger.record import Record
from models import NOTHING, PENDING

KEY_LIFE_MS = 24 * 3_600_000

# Claims go by `run_at` and take it for the moment since when an order could run, so none is written
# that is past: who submits with an old one would overtake those who wait. Only the fire of a
# schedule is older than its order; it was promised before, by a row of the database.
INSERT_ORDERS = Sql(
    sqlite="""
    INSERT INTO job_order (id, type, queue, status, priority, payload, attempts, crashes,
        max_attempts, lease, timeout_ms, max_silence_ms, run_at, created_on, last_updated, owner,
        tags, callback_url, copy_of, schedule, project, sandbox)
    VALUES (:id, :type, :queue, 'pending', :priority, :payload, 0, 0, :max_attempts, 0,
        :timeout_ms, :max_silence_ms,
        CASE WHEN :run_at IS NULL THEN {now} + :delay_ms
            WHEN :schedule IS NULL THEN max(:run_at, {now}) ELSE :run_at END,
        {now}, {now}, :owner, :tags, :callback_url, :copy_of, :schedule, :project, :sandbox)""",
    postgres="""
    INSERT INTO job_order (id, type, queue, status, priority, payload, attempts, crashes,
        max_attempts, lease, timeout_ms, max_silence_ms, run_at, created_on, last_updated, owner,
        tags, callback_url, copy_of, schedule, project, sandbox)
    SELECT id, type, queue, 'pending', priority, payload, 0, 0, max_attempts, 0, timeout_ms,
        max_silence_ms,
        CASE WHEN run_at IS NULL THEN {now} + delay_ms
            WHEN schedule IS NULL THEN greatest(run_at, {now}) ELSE run_at END,
        {now}, {now}, owner, tags, callback_url, copy_of, schedule, project, sandbox
    FROM json_to_recordset(CAST(:rows AS json)) AS r (id uuid, type text, queue text,
        priority smallint, payload text, max_attempts int, timeout_ms bigint,
        max_silence_ms bigint, run_at bigint, delay_ms bigint, owner text, tags text,
        callback_url text, copy_of uuid, schedule text, project text, sandbox text)""",
)

INSERT_QUEUE = Sql(
    "INSERT INTO queue (name, created_on) VALUES (:name, {now}) ON CONFLICT (name) DO NOTHING"
)

# A key that outlived its day counts as unused: it is taken over in the same statement.
TAKE_KEY = Sql("""
    INSERT INTO idempotency (owner, key, digest, orders, created_on)
    VALUES (:owner, :key, :digest, :orders, {now})
    ON CONFLICT (owner, key) DO UPDATE SET digest = excluded.digest, orders = excluded.orders,
        created_on = excluded.created_on
    WHERE idempotency.created_on < {now} - :life
    RETURNING key""")

FIND_KEY = Sql("SELECT digest, orders FROM idempotency WHERE owner = :owner AND key = :key")

EXISTING = Sql("SELECT id FROM job_order WHERE id {among}")

_FIELDS = tuple(NewOrder.__slots__)


def submit(database: Database, requests: Sequence[Request]) -> list[Receipt]:
    """Write these requests durably, in one transaction; a receipt for each, in their order.

    A repeated key answers the first request's ids; a key used for another body is refused in its
    receipt and harms no other request. Any other failure fails the whole batch, so a caller that
    batches strangers' requests should then try each alone. A commit that was never answered is
    asked after, by the ids, and repeated if it did not take. Raises `DatabaseAway`.
    """
    try:
        return database.write(lambda transaction: submit_in(transaction, requests))
    except DatabaseAway as error:
        if error.nothing_done:
            raise
    first = [request.orders[0].id for request in requests if request.orders]
    taken = _existing(database, first)
    return database.write(lambda transaction: submit_in(transaction, requests, taken))


def submit_in(
    transaction: Transaction, requests: Sequence[Request], taken: Collection[str] = ()
) -> list[Receipt]:
    """The same within a transaction; `taken` are the first orders of requests that an earlier try
    did submit."""
    receipts = [Receipt([order.id for order in request.orders]) for request in requests]
    done = [bool(request.orders) and request.orders[0].id in taken for request in requests]
    own = {order.id for request in requests for order in request.orders}
    keyed = [
        place
        for place, request in enumerate(requests)
        if request.key is not None and not done[place]
    ]
    # Keys are taken in one order everywhere, so that two batches never wait for each other.
    for place in sorted(keyed, key=lambda at: (requests[at].owner, requests[at].key, at)):
        receipts[place] = _take_key(transaction, requests[place], own)
    fresh = [
        order
        for request, receipt, was_done in zip(requests, receipts, done, strict=True)
        if receipt.refusal is None and not receipt.replayed and not was_done
        for order in request.orders
    ]
    if fresh:
        insert(transaction, fresh)
    return receipts


def _existing(database: Database, ids: Sequence[str]) -> set[str]:
    return {text_id(row[0]) for row in database.read(EXISTING, {"ids": database.ids(ids)})}


def _take_key(transaction: Transaction, request: Request, own: set[str]) -> Receipt:
    """Take the request's key, or find what took it before; `own` are the ids of this batch."""
    ids = [order.id for order in request.orders]
    who = {"owner": request.owner, "key": request.key}
    taken = transaction.rows(
        TAKE_KEY, who | {"digest": request.digest, "orders": pack(ids), "life": KEY_LIFE_MS}
    )
    if taken:
        return Receipt(ids)
    digest, packed = transaction.rows(FIND_KEY, who)[0]
    if bytes(digest) != request.digest:
        return Receipt([], refusal=KeyReused(KeyReused.__doc__))
    first = list(unpack(bytes(packed)))
    if own.issuperset(first):  # an earlier request of the same batch, about to be inserted
        return Receipt(first, replayed=True)
    if len(transaction.rows(EXISTING, {"ids": transaction.ids(first)})) < len(first):
        return Receipt([], refusal=KeySpent(KeySpent.__doc__))
    return Receipt(first, replayed=True)


def insert(transaction: Transaction, orders: list[NewOrder]) -> None:
    """Make these orders, with what they leave behind."""
    record = Record()
    for order in orders:
        record.move(order.queue, order.type, NOTHING, PENDING)
    for name in sorted({order.queue for order in orders}):
        transaction.run(INSERT_QUEUE, {"name": name})
    if transaction.dialect == "sqlite":
        transaction.many(INSERT_ORDERS, map(_sqlite_row, orders))
    else:
        transaction.run(INSERT_ORDERS, {"rows": json.dumps([_json_row(o) for o in orders])})
    record.event("submitted", [order.id for order in orders])
    record.write(transaction)


def _sqlite_row(order: NewOrder) -> dict[str, object]:
    row = {name: getattr(order, name) for name in _FIELDS}
    row["id"] = pack((order.id,))
    if order.copy_of is not None:
        row["copy_of"] = pack((order.copy_of,))
    return row


def _json_row(order: NewOrder) -> dict[str, object]:
    return {name: value for name in _FIELDS if (value := getattr(order, name)) is not None}

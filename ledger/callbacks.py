"""What is to be told of an order that ends: an order of its own, made in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable

from database import Sql, Transaction
from ledger.ids import new_id, text_id
from ledger.orders import NewOrder
from ledger.submit import insert
from models import ENDED

TYPE = "webhook"

# The waits between them are the job's: ten attempts take about three days.
MOST_ATTEMPTS = 10
TIMEOUT_MS = 60_000

TOLD = Sql("""
    SELECT id, type, queue, status, owner, callback_url, completed_on FROM job_order
    WHERE id {among} AND callback_url IS NOT NULL ORDER BY id""")


def call_back(transaction: Transaction, order_ids: Iterable[str]) -> None:
    """Submit a delivery for each of these orders that has ended and names who is to be told.

    It goes into the order's own queue, whose managers are known to be there.
    """
    rows = transaction.rows(TOLD, {"ids": transaction.ids(order_ids)})
    deliveries = [
        NewOrder(
            id=new_id(),
            type=TYPE,
            payload=json.dumps(
                {
                    "url": url,
                    "job_id": text_id(order_id),
                    "job_type": kind,
                    "status": status,
                    "ended_on": ended_on,
                }
            ),
            queue=queue,
            max_attempts=MOST_ATTEMPTS,
            timeout_ms=TIMEOUT_MS,
            owner=owner,
        )
        for order_id, kind, queue, status, owner, url, ended_on in rows
        if status in ENDED
    ]
    if deliveries:
        insert(transaction, deliveries)

"""From a checked submission to an order for the ledger, for whoever calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ledger
from api import errors
from api.headers import Keyed
from api.services import caller
from jobs.errors import PayloadError, UnknownType
from settings import Settings
from submissions import orders as submitted
from submissions.orders import in_milliseconds
from submissions.schema import JobSubmission

__all__ = ["in_milliseconds", "keyed", "order", "orders"]


def order(settings: Settings, order_id: str, submission: JobSubmission) -> ledger.NewOrder:
    """The order that a submission asks for. Raises `UnknownType`, `PayloadError`."""
    return submitted.order(settings, order_id, submission, caller())


def orders(settings: Settings, submissions: Sequence[JobSubmission]) -> list[ledger.NewOrder]:
    """The orders of a batch. Raises the 422 that names every bad one by its index."""
    found: list[ledger.NewOrder] = []
    bad: list[dict[str, str]] = []
    ids = ledger.new_ids(len(submissions))
    for place, (order_id, submission) in enumerate(zip(ids, submissions, strict=True)):
        try:
            found.append(order(settings, order_id, submission))
        except UnknownType as error:
            bad += errors.type_errors(error, f"/{place}")
        except PayloadError as error:
            bad += errors.payload_errors(error, f"/{place}")
        if len(bad) > errors.MOST_ERRORS:
            break
    if bad:
        raise errors.unacceptable("body", bad)
    return found


def keyed(new: list[ledger.NewOrder], body: Any, header: Keyed) -> ledger.Request:
    """The request for the ledger, with the client's key and the digest of the parsed body."""
    if header.idempotency_key is None:
        return ledger.Request(new, caller())
    return ledger.Request(new, caller(), header.idempotency_key, submitted.digest(body))

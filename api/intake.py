"""From a checked submission to an order for the ledger, and from a body to its key's digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import exact_json
import ledger
from api import errors, offered
from api.headers import Keyed
from api.schemas import JobSubmission
from api.services import caller
from jobs.errors import PayloadError, UnknownType
from models import PRIORITIES
from settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def order(settings: Settings, order_id: str, submission: JobSubmission) -> ledger.NewOrder:
    """The order that a submission asks for. Raises `UnknownType`, `PayloadError`."""
    kind = offered.get(submission.type)
    kind.check(submission.payload)
    timeout = submission.timeout or kind.timeout or settings.timeout_seconds
    silence = submission.max_silence or kind.max_silence
    run_at = submission.run_at
    return ledger.NewOrder(
        id=order_id,
        type=kind.name,
        payload=exact_json.dumps(submission.payload),
        queue=submission.queue or kind.queue,
        priority=PRIORITIES[submission.priority or kind.priority],
        max_attempts=submission.max_attempts or kind.max_attempts or settings.max_attempts,
        timeout_ms=_milliseconds(timeout),
        max_silence_ms=None if silence is None else _milliseconds(silence),
        run_at=None if run_at is None else in_milliseconds(run_at),
        delay_ms=round((submission.delay or 0) * 1000),
        owner=caller(),
        tags=exact_json.dumps(submission.tags) if submission.tags else None,
        callback_url=submission.callback_url,
        copy_of=submission.copy_of,
    )


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
    digest = hashlib.sha256(exact_json.canonical(body).encode()).digest()
    return ledger.Request(new, caller(), header.idempotency_key, digest)


def in_milliseconds(moment: datetime) -> int:
    """A time as the ledger keeps it."""
    return (moment - _EPOCH) // _MILLISECOND


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))

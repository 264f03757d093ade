"""From a checked submission to an order for the ledger, and from a body to its key's digest."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import exact_json
import ledger
from models import PRIORITIES
from settings import Settings
from submissions import offered
from submissions.schema import JobSubmission

KEY = re.compile(r'"?([ -!#-~]{1,255})"?')
KEY_REMEDY = "must be 1 to 255 printable ASCII characters, with or without quotes around"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def order(
    settings: Settings, order_id: str, submission: JobSubmission, owner: str
) -> ledger.NewOrder:
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
        owner=owner,
        tags=exact_json.dumps(submission.tags) if submission.tags else None,
        callback_url=submission.callback_url,
        copy_of=submission.copy_of,
    )


def digest(body: Any) -> bytes:
    """What tells whether a repeated key came with the same body, whatever its spelling."""
    return hashlib.sha256(exact_json.canonical(body).encode()).digest()


def in_milliseconds(moment: datetime) -> int:
    """A time as the ledger keeps it."""
    return (moment - _EPOCH) // _MILLISECOND


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))

"""Telling somebody that an order has ended: a Standard Webhooks delivery."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
import time
from datetime import UTC, datetime
from typing import Any

from jobs import Context, job, outbound
from jobs.errors import Fail, Retry

# Between the attempts, in seconds: ten of them within three days or so.
WAITS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
LONGEST_WAIT = 86_400.0
SECONDS = 20.0

PREFIX = "whsec_"
GONE = 410


@job("webhook", timeout=60, max_attempts=10)
def webhook(
    context: Context, url: str, job_id: str, job_type: str, status: str, ended_on: int
) -> dict[str, Any]:
    """Tell `url` by a signed request that an order has ended; made by orders with `callbackUrl`."""
    ended = datetime.fromtimestamp(ended_on / 1000, UTC).isoformat(timespec="milliseconds")
    body = outbound.json_body(
        {
            "type": f"job.{status}",
            "timestamp": ended.replace("+00:00", "Z"),
            "data": {"jobId": job_id, "type": job_type, "status": status},
        }
    )
    headers = signed(outbound.webhook_secret(), context.job_id, int(time.time()), body)
    try:
        answer = outbound.request("POST", url, headers=headers, body=body, seconds=SECONDS)
    except outbound.Refused as error:
        raise Fail(f"the address must not be called: {error}") from None
    except outbound.Unreachable as error:
        raise Retry(_wait(context.attempt), str(error)) from None
    if 200 <= answer.status < 300:
        return {"status": answer.status}
    if answer.status == GONE:
        raise Fail("the receiver answered 410: it wants no more of these")
    asked = answer.headers.get("retry-after", "")
    least = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0.0
    told = f"the receiver answered {answer.status}"
    if 300 <= answer.status < 400:
        told += ", and redirects are not followed: give the address it leads to"
    raise Retry(min(LONGEST_WAIT, max(least, _wait(context.attempt))), told)


def signed(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery, with its signature. Raises `Fail` without a usable secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise Fail("nothing to sign with: set CAPATAZ_WEBHOOK_SECRET, then retry this order")
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Capataz",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _wait(attempt: int) -> float:
    """Seconds until the next attempt, spread: receivers that were away get not all at once."""
    most = WAITS[min(attempt, len(WAITS)) - 1]
    return random.uniform(0.8, 1.0) * most  # noqa: S311 (jitter, no secret)

"""Why an order ended, and that nothing is to come."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ledger.rescue import MAX_CRASHES
from ledger.spans import span
from ledger.why.circumstances import Circumstances
from ledger.why.reason import Moment, Reason, reason
from ledger.why.waiting import MESSAGE_CUT
from models import CANCELLED, COMPLETED, FAILED

_RETRY = "mend the cause, then run it again: POST /api/v1/jobs/{}/retry"


def over(found: Circumstances) -> list[Reason]:
    """Why it ended; first of all, whether its worker has not noticed yet."""
    return [*_still_running(found), _end(found)]


def _still_running(found: Circumstances) -> Iterator[Reason]:
    order, worker = found.order, found.in_hand
    if order.status != CANCELLED or worker is None:
        return
    hangs = worker.state == "hung"
    yield reason(
        "still_running",
        f"it was cancelled, and worker {worker.worker} "
        + ("hangs in it: it was left behind" if hangs else "has not stopped yet"),
        "a thread cannot be killed: let the job look at context.cancelled, or restart the manager"
        if hangs
        else "wait: the job was told, and its worker is left behind if it does not stop",
        worker=worker.worker,
        worker_state=worker.state,
        last_seen=Moment(worker.seen_on),
    )


def _end(found: Circumstances) -> Reason:
    order = found.order
    ended_on = order.completed_on or order.last_updated
    ago = span(found.now - ended_on)
    ended = Moment(ended_on)
    if order.status == FAILED:
        return _failed(found, ago)
    if order.status == CANCELLED:
        return reason(
            "cancelled",
            f"it was cancelled {ago} ago; nothing is to come",
            f"to run it after all: POST /api/v1/jobs/{order.id}/retry",
            ended_on=ended,
        )
    if order.status == COMPLETED:
        return reason(
            "completed",
            f"it completed {ago} ago; its result waits to be collected",
            f"GET /api/v1/job/{order.id}/result",
            ended_on=ended,
            worker=order.worker,
        )
    return reason(
        "retrieved",
        f"it completed {ago} ago and its result was collected; nothing is to come",
        "nothing to do",
        ended_on=ended,
        retrieved_on=Moment(order.retrieved_on or ended_on),
    )


def _failed(found: Circumstances, ago: str) -> Reason:
    order = found.order
    error = json.loads(order.error) if order.error else {}
    spent = order.attempts - order.crashes
    if order.crashes >= MAX_CRASHES:
        code, how = "failed_by_crashes", f"after crash {order.crashes}, the last allowed"
    elif spent >= order.max_attempts:
        code, how = "failed_attempts_used", f"after attempt {spent} of {order.max_attempts}"
    else:
        code, how = "failed_for_good", "with an error that no other attempt mends"
    return reason(
        code,
        f"it failed {ago} ago, {how}: {error.get('type')}; nothing is to come",
        _RETRY.format(order.id),
        ended_on=Moment(order.completed_on or order.last_updated),
        error=error.get("type"),
        error_message=str(error.get("message", ""))[:MESSAGE_CUT],
        attempts=order.attempts,
        max_attempts=order.max_attempts,
        crashes=order.crashes,
    )

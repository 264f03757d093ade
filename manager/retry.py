"""What becomes of an order after an attempt: a pure decision."""

from __future__ import annotations

import json
import random
from typing import Any

from ledger import MAX_CRASHES, Ending, backoff_ms
from manager.assignment import Assignment
from manager.outcome import (
    CRASHED,
    ERROR,
    FATAL,
    HANDED_BACK,
    SUCCEEDED,
    TIMED_OUT,
    UNKNOWN_TYPE,
    Outcome,
)
from models import COMPLETED, FAILED, PENDING

UNKNOWN_TYPE_DELAY_MS = 30_000


def decide(
    assignment: Assignment, outcome: Outcome, chance: random.Random, ended: float | None = None
) -> Ending:
    """The move that this outcome asks for, of an attempt that ended now or then (monotonic).

    An error is retried after an exponential back-off with full jitter, or when the job asked to,
    as long as attempts are left; crashes are counted apart and use none up.
    """
    order = assignment.order
    ending = Ending(
        order.id,
        order.lease,
        order.type,
        order.queue,
        order.attempts,
        COMPLETED,
        outcome.kind,
        assignment.worker,
        outcome.result,
        run_ms=None if outcome.run_seconds is None else round(outcome.run_seconds * 1000),
        age_ms=assignment.age_ms(ended),
        ended=ended,
    )
    if outcome.kind != SUCCEEDED:
        _unhappy(ending, order, outcome, chance)
    return ending


def _unhappy(ending: Ending, order: Any, outcome: Outcome, chance: random.Random) -> None:
    if outcome.kind in (HANDED_BACK, UNKNOWN_TYPE):
        ending.to, ending.uncounted, ending.kind = PENDING, True, outcome.kind
        if outcome.kind == UNKNOWN_TYPE:
            ending.delay_ms = UNKNOWN_TYPE_DELAY_MS
        return
    ending.error = error_text(outcome)
    if outcome.kind == CRASHED:
        crashes = order.crashes + 1
        ending.crashed = True
        ending.spent, ending.allowed = crashes, MAX_CRASHES
        if crashes >= MAX_CRASHES:
            ending.to = FAILED
        else:
            ending.to, ending.kind = PENDING, "retrying"
            ending.delay_ms = backoff_ms(crashes, chance)
        return
    spent = order.attempts - order.crashes
    ending.spent, ending.allowed = spent, order.max_attempts
    if outcome.kind == FATAL or spent >= order.max_attempts:
        ending.to = FAILED
        return
    assert outcome.kind in (ERROR, TIMED_OUT)
    ending.to, ending.kind = PENDING, "retrying"
    if outcome.retry_after is None:
        ending.delay_ms = backoff_ms(spent, chance)
    else:
        ending.delay_ms = max(0, round(outcome.retry_after * 1000))


def error_text(outcome: Outcome) -> str:
    """The error as the order shows it, as JSON text."""
    error: dict[str, Any] = {
        "type": outcome.error_type or "Error",
        "message": outcome.message or "",
    }
    usage = outcome.usage
    more = {
        "traceback": outcome.traceback or None,
        "output": outcome.output or None,
        "signal": outcome.signal,
        "exitCode": outcome.exit_code,
        "maxRssMb": None if usage is None else round(usage.max_rss_mb, 1),
        "cpuSeconds": None if usage is None else round(usage.cpu_seconds, 3),
    }
    return json.dumps(error | {name: v for name, v in more.items() if v is not None})

"""A job that fails as it is told: for trying retries."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs import Context, Fail, Retry, job
from jobs.errors import MAX_DELAY_SECONDS

After = Annotated[
    float | None,
    Field(ge=0, le=MAX_DELAY_SECONDS, description="Ask for the next attempt in so many seconds"),
]
Times = Annotated[
    int | None,
    Field(ge=0, description="Fail the first so many attempts, then succeed; else fail them all"),
]


class FailedAsTold(Exception):
    """What `fail` raises when it is to look like any error of a job."""


@job("fail")
def fail(
    context: Context,
    message: str = "failed as it was told",
    fatal: Annotated[bool, Field(description="No more attempts")] = False,
    after: After = None,
    times: Times = None,
) -> dict[str, int]:
    """Fail with a message: with a retry by the usual back-off, after a time, or for good."""
    if times is not None and context.attempt > times:
        return {"attempt": context.attempt}
    if fatal:
        raise Fail(message)
    if after is not None:
        raise Retry(after, message)
    raise FailedAsTold(message)

"""A wait, with progress: work that costs nothing, to watch orders pass."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import Field

from jobs import Context, job
from jobs.errors import Cancelled

Seconds = Annotated[float, Field(ge=0, le=86400, description="How long, in seconds; up to a day")]


@job("sleep")
def sleep(context: Context, seconds: Seconds) -> dict[str, float]:
    """Sleep, telling the progress each second, or each tenth of less than ten seconds."""
    begin = time.monotonic()
    step = min(1.0, seconds / 10)
    while (left := begin + seconds - time.monotonic()) > 0:
        if context.wait(min(step, left)):
            raise Cancelled(f"stopped after {time.monotonic() - begin:.1f} of {seconds:g} s")
        slept = min(seconds, time.monotonic() - begin)
        context.progress(int(100 * slept / seconds), f"{slept:.1f} of {seconds:g} s")
    return {"slept": seconds}

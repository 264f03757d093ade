"""A job that takes as long as it is told, for the tests of turns and of what is claimed ahead."""

from __future__ import annotations

import time

from jobs import Context, job
from tests.crash.jobs import _note as note


@job("crash.paced")
def paced(context: Context, effects: str, ms: int) -> None:
    """Begin, take that many milliseconds, end."""
    note(effects, "began", context)
    time.sleep(ms / 1000)
    note(effects, "ended", context)

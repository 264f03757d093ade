"""Jobs that end in every way there is, for the test that runs them all at once."""

from __future__ import annotations

from jobs import Context, job
from jobs.errors import Fail, Retry
from tests.crash.jobs import _note as note

AGAIN_SECONDS = 0.2


@job("mixed.works")
def works(context: Context, effects: str, ms: int) -> int:
    """Take that many milliseconds, and tell under which lease."""
    note(effects, "began", context)
    context.wait(ms / 1000)
    return context.lease


@job("mixed.flaky")
def flaky(context: Context, effects: str, ms: int) -> int:
    """Fail at the first attempt, by the count that a crash does not use up."""
    note(effects, "began", context)
    if context.attempt == 1:
        raise ValueError("not at the first attempt")
    return context.lease


@job("mixed.again")
def again(context: Context, effects: str, ms: int) -> int:
    """Ask once to be run again a little later."""
    note(effects, "began", context)
    if context.attempt == 1:
        raise Retry(after=AGAIN_SECONDS)
    return context.lease


@job("mixed.hopeless")
def hopeless(context: Context, effects: str, ms: int) -> None:
    """Fail at every attempt."""
    note(effects, "began", context)
    raise ValueError("never")


@job("mixed.fatal")
def fatal(context: Context, effects: str, ms: int) -> None:
    """Give up at once."""
    note(effects, "began", context)
    raise Fail("no use")


@job("mixed.apart", isolation="process")
def apart(context: Context, effects: str, ms: int) -> int:
    """The same as `works`, in a process of its own."""
    return works(context, effects, ms)

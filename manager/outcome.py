"""What a run of an order came to: a plain value, whoever made it."""

from __future__ import annotations

from typing import Final, NamedTuple

SUCCEEDED: Final = "succeeded"
ERROR: Final = "error"
FATAL: Final = "fatal"
TIMED_OUT: Final = "timed_out"
CRASHED: Final = "crashed"
HANDED_BACK: Final = "handed_back"
UNKNOWN_TYPE: Final = "unknown_type"


class Usage(NamedTuple):
    """What a run in a child process used: with all that it started, and that had ended."""

    cpu_seconds: float
    max_rss_mb: float


class Outcome(NamedTuple):
    """The end of one attempt.

    `run_seconds` is how long the function ran, None when it never began; `retry_after` is the
    job's own wish in seconds; `error_type`, `message` and `traceback` say what went wrong.

    Of a run in a child process: `usage`; and when the process ended with it, `output`, the last of
    what it printed, and its `exit_code` or the name of the `signal` that killed it.
    """

    kind: str
    run_seconds: float | None = None
    result: str | None = None
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None
    retry_after: float | None = None
    usage: Usage | None = None
    output: str | None = None
    exit_code: int | None = None
    signal: str | None = None

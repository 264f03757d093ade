"""What a job may raise to say how its attempt ended, and what is wrong with a job type.

JobError
├── Retry                  raised by a job: again, later
├── Fail                   raised by a job: no more attempts
├── Cancelled              raised by a job: it was told to stop, and did
├── RegistrationError      @job cannot take this function
├── LoadError              a module with jobs cannot be imported
├── UnknownType            no job type has this name
└── PayloadError           a payload does not fit the job's annotations
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_DELAY_SECONDS = 366 * 86400.0
"""Longest wait or timeout in seconds that a job may ask for: a leap year."""


class JobError(Exception):
    """Root of what this package raises."""


class Retry(JobError):
    """Raised by a job to end this attempt and have another one.

    `after` is seconds from now, up to 366 days; without it the usual back-off decides. The attempt
    counts against the order's `maxAttempts`.
    """

    def __init__(self, after: float | None = None, message: str = "") -> None:
        if after is not None and not 0 <= after <= MAX_DELAY_SECONDS:
            raise ValueError(
                f"after is {after!r}: give seconds between 0 and {MAX_DELAY_SECONDS:.0f}"
            )
        super().__init__(message or "the job asked to be run again")
        self.after = after

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None, str]]:
        return type(self), (self.after, str(self))


class Fail(JobError):
    """Raised by a job when another attempt cannot help: the order fails at once."""

    def __init__(self, message: str = "the job gave up") -> None:
        super().__init__(message)


class Cancelled(JobError):
    """Raised by a job that stopped because `context.cancelled` told it to."""

    def __init__(self, message: str = "stopped before its end, as it was told") -> None:
        super().__init__(message)


class RegistrationError(JobError):
    """A function or an option that `@job` cannot take; the message names the remedy."""


class LoadError(JobError):
    """A module with jobs cannot be imported; the message names the module."""


class UnknownType(JobError, LookupError):
    """No job type has the name `name`; `known` are those that exist."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown job type {name!r}: known types are {', '.join(known) or 'none'}")
        self.name = name
        self.known = tuple(known)

    def __reduce__(self) -> tuple[type[UnknownType], tuple[str, tuple[str, ...]]]:
        return type(self), (self.name, self.known)


class PayloadError(JobError, ValueError):
    """A payload does not fit the job's annotations.

    `errors` lists every bad field as a JSON pointer such as `/payload/width`, and a message that
    says the remedy. No value of the payload is repeated: it may be a secret.
    """

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer} {message}" for pointer, message in errors))
        self.errors = list(errors)

    def __reduce__(self) -> tuple[type[PayloadError], tuple[list[tuple[str, str]]]]:
        return type(self), (self.errors,)

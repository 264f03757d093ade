"""The types of jobs that may be submitted."""

from __future__ import annotations

from jobs import registry
from jobs.errors import UnknownType
from jobs.registry import JobType
from ledger.callbacks import TYPE as WEBHOOK


def names() -> list[str]:
    """All that are registered, but for the one that is signed: what that tells must have happened,
    so only the ledger makes its orders."""
    return [name for name in registry.names() if name != WEBHOOK]


def get(name: str) -> JobType:
    """The type of this name. Raises `UnknownType` with the known names."""
    if name not in names():
        raise UnknownType(name, names())
    return registry.get(name)

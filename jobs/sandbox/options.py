"""What the operator allows, as the steps of a run are told it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """See the settings of the same names, `CAPATAZ_GITHUB_…`; seconds and MiB."""

    hosts: tuple[str, ...]
    owners: tuple[str, ...]
    level: str
    variables: tuple[str, ...]
    network: bool
    builds: bool
    python: str
    index: str
    folder: str
    clone_seconds: float
    cpu_seconds: int
    memory_mb: int
    size_mb: int
    output_mb: int

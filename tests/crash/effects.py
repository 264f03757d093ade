"""What the jobs really did: the file that they write to, and the gates that let them go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Effect(NamedTuple):
    """One line that a job wrote."""

    word: str
    order: str
    attempt: int
    lease: int
    pid: int


class Effects:
    """A file that all jobs of a test append to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "effects"
        self.path.touch()

    def all(self, word: str | None = None, order: str | None = None) -> list[Effect]:
        """Every effect (with this word, of this order), in the order in which they came."""
        text = self.path.read_text()
        lines = (line.split() for line in text[: text.rfind("\n") + 1].splitlines())
        found = [Effect(w, o, int(a), int(ls), int(p)) for w, o, a, ls, p in lines]
        return [
            effect
            for effect in found
            if word in (None, effect.word) and order in (None, effect.order)
        ]

    def words(self, order: str) -> list[tuple[str, int]]:
        """Word and lease of each effect of an order."""
        return [(effect.word, effect.lease) for effect in self.all(order=order)]

    def payload(self, gate: Gate | None = None, **fields: int) -> str:
        """The payload of an order whose job is to write here."""
        given: dict[str, object] = {"effects": str(self.path), **fields}
        if gate is not None:
            given["gate"] = str(gate.folder)
        return json.dumps(given)


class Gate:
    """What jobs wait for: open to all of them, or to the holder of one lease."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def open(self, lease: int | None = None) -> None:
        """Let this lease's holder pass, or everybody. Nothing closes it again."""
        (self.folder / ("all" if lease is None else str(lease))).touch()

"""The pages of the documentation, and the fenced blocks in them.

How the words after the three backticks decide what a test does with a block:

- `sh`: run; every command must succeed.
- `sh server`: started in the background, once an older one of the same command has been stopped;
  stopped at the page's end, and must end well.
- `sh norun: REASON`: not run; only what `NOT_RUN` in `test_commands` lists may be so.
- `text output`: what the block before it prints, or a part of what its server says.
- `json output`: the same, compared as JSON, however either is laid out.
- `python file=NAME`: a file that the reader writes into the checkout.

Any other block is there to be read only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.house.project import ROOT

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

POSTGRES_URL = "postgresql://capataz:secret@localhost:5432/capataz"
"""Where a page says so, a test puts the URL of a fresh database of its own."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its info string, its text, and the line it begins on."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_shell(self) -> bool:
        return self.info.split(" ")[0] == "sh"

    @property
    def is_server(self) -> bool:
        return self.info == "sh server"

    @property
    def is_run(self) -> bool:
        return self.info == "sh"

    @property
    def reason(self) -> str | None:
        """Why it is not run, for those that are not."""
        kind, colon, reason = self.info.partition(":")
        return reason.strip() if colon and kind == "sh norun" else None

    @property
    def is_output(self) -> bool:
        return self.info in ("text output", "json output")

    @property
    def file(self) -> str | None:
        """The name of the file that this block is, if it is one."""
        found = re.fullmatch(r"\w+ file=([\w.-]+)", self.info)
        return found[1] if found else None


def pages() -> list[Path]:
    """Every page: README.md, and those in docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in their order."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["info"].strip(), found["text"])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())

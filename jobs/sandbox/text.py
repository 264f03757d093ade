"""What a program prints, made fit to be kept and shown."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

KEEP = 64 * 1024
_LINE = 8 * 1024

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, the cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
# Control characters, and those that turn the direction of writing, but for line end and tab.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Without terminal codes and control characters; a carriage return ends a line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub("", _ESCAPES.sub("", text))


class Stream:
    """One output of a program: its end is kept, its beginning shown while it comes."""

    def __init__(self, show: Callable[[str], object], most_shown: int) -> None:
        """`show` gets whole lines, as text; no more than about `most_shown` bytes in all."""
        self._show = show
        self._left = most_shown
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._kept = bytearray()
        self.size = 0

    def take(self, data: bytes) -> None:
        """What came."""
        self.size += len(data)
        self._kept += data
        if len(self._kept) > 2 * KEEP:
            del self._kept[:-KEEP]
        if self._left > 0:
            self._left -= len(data)
            self._tell(self._decoder.decode(data))
            if self._left <= 0:
                self.finish()
                self._show("… more is printed than is shown here\n")

    def finish(self) -> None:
        """No more will come: show a last line that has no end."""
        if self._line:
            self._show(plain(self._line) + "\n")
            self._line = ""

    def _tell(self, text: str) -> None:
        whole, end, rest = (self._line + text).rpartition("\n")
        if not end and len(rest) > _LINE:
            whole, rest = rest, ""
        self._line = rest
        if whole:
            self._show(plain(whole) + "\n")

    @property
    def text(self) -> str:
        """The last of it; `…` stands for what is not there."""
        kept = plain(bytes(self._kept[-KEEP:]).decode("utf-8", "replace"))
        return kept if self.size <= KEEP else "…" + kept

"""The last of what comes through a pipe.

For wardens, so it imports next to nothing.
"""

from __future__ import annotations

import os

KEEP = 64 * 1024


class Tail:
    """The last of what comes through a pipe."""

    def __init__(self) -> None:
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self.text = bytearray()
        self.open = True

    def read(self) -> bool:
        """Take what is there; whether there was anything."""
        try:
            data = os.read(self.source, KEEP)
        except BlockingIOError:
            return False
        self.open = bool(data)
        self.text += data
        if len(self.text) > 2 * KEEP:
            del self.text[:-KEEP]
        return bool(data)

    def last(self) -> bytes:
        while self.open and self.read():
            pass
        return bytes(self.text[-KEEP:])

"""Log records of jobs that say what they can, where their text and its arguments do not fit."""

from __future__ import annotations

import logging


class Forgiving(logging.LogRecord):
    """A record whose text stands as it is, with its arguments behind, where they do not fit it.

    The base class raises then, and every handler prints a traceback in the message's place.
    """

    def getMessage(self) -> str:  # noqa: N802 (the library's name)
        """The text with its arguments."""
        try:
            return super().getMessage()
        except Exception:
            return f"{self.msg} {self.args!r}"

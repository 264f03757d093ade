"""Makes a line that a job wrote harmless: for a database, a terminal and a page to show."""

from __future__ import annotations

import re

MAX_LINE = 8 * 1024
"""Longest line, in bytes of UTF-8; what is beyond it is cut, which `CUT` says."""

CUT = " … (cut)"
_CUT_SIZE = len(CUT.encode())

# Escape sequences of terminals: CSI …, strings such as OSC … up to their end, and the short ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,500}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# C0, DEL and C1; what ends lines elsewhere; what turns the direction of text round.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"[\t\u2028\u2029]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(raw: str | bytes, *, is_cut: bool = False) -> str:
    """One line without control characters, terminal codes and what UTF-8 cannot hold.

    A tab becomes a space. Of what a carriage return wrote over, the last is kept. `is_cut` says
    that the line's end was cut already. What is clean stays as it is.
    """
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    if not text.isprintable():
        text = _ESCAPES.sub("", text)
        if "\r" in text:
            text = next((part for part in reversed(text.split("\r")) if part), "")
        text = _CONTROLS.sub("", _SPACES.sub(" ", text))
        text = _SURROGATES.sub("\ufffd", text)
    if is_cut or (4 * len(text) > MAX_LINE and len(text.encode()) > MAX_LINE):
        return text.encode()[: MAX_LINE - _CUT_SIZE].decode(errors="ignore") + CUT
    return text

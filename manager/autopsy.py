"""What is left to say of a child process that ended: its end, its last words, where it was."""

from __future__ import annotations

import os
import re
import signal

from manager import child, executor

MAX_OUTPUT = 16_000
MAX_STACK = 16_000

# Escape sequences of terminals: CSI …, OSC … up to its end, and the short ones.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)|[ -/]*[0-~])"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_FRAME = re.compile(r'^  File "(?P<file>.*)", line \d+ in (?P<name>.*)$')


def last_words(output: bytes) -> str | None:
    """The end of what a job printed, fit to be shown anywhere; None when it printed nothing."""
    text = output.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    return text[-MAX_OUTPUT:] or None


def end_of(status: int | None) -> tuple[str, int | None, str | None]:
    """How a wait status reads, its exit code, and the name of its signal."""
    if status is None:
        return "ended in a way that nobody saw", None, None
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}", code, None
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}", None, name


def stack_of(dump: bytes) -> str | None:
    """The stacks that a child wrote, of the job's frames only; None when there are none."""
    paragraphs = dump.decode(errors="replace").strip().split("\n\n")
    kept = [text for text in map(_own_frames, paragraphs) if text and "File " in text]
    text = "\n\n".join(kept)
    return text[-MAX_STACK:] or None


def _own_frames(paragraph: str) -> str | None:
    """One thread's stack down to where we called the job; None for a thread of our own."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            if frame["file"] == executor.__file__:
                break
            if frame["file"] == child.__file__:
                return None
        lines.append(line)
    return "\n".join(lines)

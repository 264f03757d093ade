"""What is said of a process that ended: readable, bounded, and only what concerns the job."""

from __future__ import annotations

import pytest

from manager import child, executor
from manager.autopsy import MAX_OUTPUT, MAX_STACK, end_of, last_words, stack_of


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (b"", None),
        (b"\0\0", None),
        (b"a\tb\nc", "a\tb\nc"),
        (b"10 %\r20 %\r\nend", "10 %\n20 %\nend"),
        ("né".encode(), "né"),
        (b"\xff\xfe!", "\ufffd\ufffd!"),
        (b"\xc3", "\ufffd"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(Bx\x1b=y", "xy"),
        (b"\x1b[", None),
        (b"\x1b]an end that never comes", "an end that never comes"),
        ("c1\x9b31m".encode(), "c131m"),
        (b"bell\x07\x08\x7f", "bell"),
        (b"x" * (MAX_OUTPUT + 1) + b"end", "x" * (MAX_OUTPUT - 3) + "end"),
    ],
)
def test_last_words_are_plain_text(output: bytes, text: str | None) -> None:
    assert last_words(output) == text


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (0, ("exited with code 0", 0, None)),
        (3 << 8, ("exited with code 3", 3, None)),
        (9, ("was killed by SIGKILL", None, "SIGKILL")),
        (11 | 0x80, ("was killed by SIGSEGV", None, "SIGSEGV")),
        (40, ("was killed by signal 40", None, "signal 40")),
        (None, ("ended in a way that nobody saw", None, None)),
    ],
)
def test_how_a_process_ended_is_named(
    status: int | None, told: tuple[str, int | None, str | None]
) -> None:
    assert end_of(status) == told


def frame(file: str, name: str) -> str:
    return f'  File "{file}", line 7 in {name}\n'


def test_a_stack_ends_where_we_called_the_job() -> None:
    head = "Current thread 0x0001 (most recent call first):\n"
    ours = frame(executor.__file__, "_call") + frame(child.__file__, "_answer")
    listener = "Thread 0x0002 (most recent call first):\n" + frame(child.__file__, "_listen")
    helper = "Thread 0x0003 (most recent call first):\n" + frame("job.py", "run")
    dump = "\n".join([listener, helper, head + frame("job.py", "slow") + ours])
    assert stack_of(dump.encode()) == f"{helper}\n{head}{frame('job.py', 'slow')}".rstrip()


@pytest.mark.parametrize("dump", [b"", b"\xff", b"Fatal Python error: Aborted\n\n"])
def test_no_stack_is_none(dump: bytes) -> None:
    assert stack_of(dump) is None


def test_a_deep_stack_is_cut() -> None:
    dump = "Current thread 0x1 (most recent call first):\n" + frame("job.py", "f") * 5_000
    cut = stack_of(dump.encode())
    assert cut is not None
    assert len(cut) == MAX_STACK

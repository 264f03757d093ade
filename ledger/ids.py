"""Ids of orders: UUIDv7 (RFC 9562), made by us, so that a new row lands at the end of the index."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator

_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class _Clock:
    """Milliseconds that never go back, with a counter inside each: ids of one process are ordered.

    The 12 bits that RFC 9562 section 6.2 (method 1) gives to a counter start at a random value
    below half their range; when they run out, the next millisecond is borrowed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._counter = 0

    def ticks(self, count: int) -> list[tuple[int, int]]:
        ticks = []
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._millisecond:
                self._millisecond = now
                self._counter = int.from_bytes(os.urandom(2)) & 0x7FF
            for _ in range(count):
                self._counter += 1
                if self._counter > 0xFFF:
                    self._millisecond += 1
                    self._counter = 0
                ticks.append((self._millisecond, self._counter))
        return ticks


_clock = _Clock()


def new_ids(count: int) -> list[str]:
    """That many new ids as canonical text, each greater than all that this process made before."""
    noise = os.urandom(8 * count)
    ids = []
    for place, (millisecond, counter) in enumerate(_clock.ticks(count)):
        tail = int.from_bytes(noise[8 * place : 8 * place + 8]) & 0x3FFF_FFFF_FFFF_FFFF
        number = millisecond << 80 | 0x7000 << 64 | counter << 64 | 0x8000_0000_0000_0000 | tail
        ids.append(_text(f"{number:032x}"))
    return ids


def new_id() -> str:
    """One new id."""
    return new_ids(1)[0]


def parse_id(text: str) -> str | None:
    """The canonical form of an id that a client sent, or None when it is none."""
    return text.lower() if _CANONICAL.fullmatch(text) else None


def text_id(raw: bytes | str) -> str:
    """An id as the database answered it, as canonical text."""
    return raw if isinstance(raw, str) else _text(raw.hex())


def pack(ids: Iterable[str]) -> bytes:
    """Ids as an event holds them: 16 bytes each, one after the other."""
    return bytes.fromhex("".join(ids).replace("-", ""))


def unpack(packed: bytes) -> Iterator[str]:
    """The ids in an event's bytes, in their order."""
    text = packed.hex()
    return (_text(text[at : at + 32]) for at in range(0, len(text), 32))


def _text(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

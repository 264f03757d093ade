"""How a warden passes on what its child prints, while it does: never waiting, never much at once.

For wardens, so it imports next to nothing.
"""

from __future__ import annotations

import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# What comes through the two pipes of a child, and which run's end both have told.
OUT, ERR, END = 1, 2, 3

# A child writes a mark to both its pipes when a run is over: what follows is the next one's. It
# bears a name of the run that only its manager and its child know, so that no job ends a run by
# printing what somebody sent it.
NAME_SIZE = 32
_BEGIN, _CLOSE = b"\0capataz: a run is over: ", b"\0\n"
_SIZE = len(_BEGIN) + NAME_SIZE + len(_CLOSE)
# Of what comes before the first run.
NO_RUN = b"-" * NAME_SIZE

# Of each pipe so much waits at most.
MOST_WAITING = 64 * 1024
# What comes faster than this goes on in larger pieces, or is lost.
PAUSE_SECONDS = 0.25
# One that reads nothing is asked again after so long.
RETRY_SECONDS = 0.02

# Which pipe, how many lines were lost before, and how many bytes come.
HEAD = struct.Struct(">BII")


def mark(name: bytes) -> bytes:
    """The mark of the run of this name."""
    return _BEGIN + name + _CLOSE


class Feed:
    """A warden's end of it: what came through the pipes goes on when it can.

    `text` is the last that the run under way has printed, of both pipes as it came.
    """

    def __init__(self, sink: int, keep: int) -> None:
        os.set_blocking(sink, False)
        self._sink = sink
        self._keep = keep
        self._waiting = {OUT: bytearray(), ERR: bytearray()}
        self._lost = {OUT: 0, ERR: 0}
        self._begun_mark = {OUT: b"", ERR: b""}
        # The last mark of each pipe, and the one that both have told and that is to go on.
        self._marked = {OUT: b"", ERR: b""}
        self._over = b""
        self._frames = b""
        self._next = 0.0
        self._is_open = True
        self.sources: dict[int, int] = {}
        self.text = bytearray()

    def open(self) -> tuple[int, int]:
        """Make the two pipes; the ends that the child prints to."""
        return self._pipe(OUT), self._pipe(ERR)

    def drain(self, source: int) -> bool:
        """Take what came through one of the `sources`; whether more can come."""
        try:
            data = os.read(source, self._keep)
        except BlockingIOError:
            return True
        self.take(self.sources[source], data)
        return bool(data)

    def take(self, kind: int, data: bytes) -> None:
        """Take what came through one of the pipes."""
        data = self._begun_mark[kind] + data
        done, at = 0, data.find(_BEGIN)
        while 0 <= at <= len(data) - _SIZE:
            name = data[at + len(_BEGIN) : at + _SIZE - len(_CLOSE)]
            if data.startswith(_CLOSE, at + _SIZE - len(_CLOSE)):
                self._add(kind, data[done:at])
                self._take_mark(kind, name)
                done = at + _SIZE
            at = data.find(_BEGIN, max(done, at + 1))
        begun = at if at >= 0 else _begin_of_mark(data, done)
        self._begun_mark[kind] = data[begun:]
        self._add(kind, data[done:begun])

    def patience(self) -> float:
        """Seconds until there is something to do; infinity when there is nothing."""
        if not self._is_open or not self._has_more():
            return float("inf")
        return max(0.0, self._next - time.monotonic())

    def pass_on(self) -> None:
        """Send what waits, if it is time."""
        if self._is_open and time.monotonic() >= self._next:
            self._send()

    def finish(self, seconds: float) -> None:
        """Send all there is, if whoever reads it takes it within this time. Nobody prints now."""
        for source, kind in self.sources.items():
            for data in _all_in(source, self._keep):
                self.take(kind, data)
        for kind, begun in self._begun_mark.items():
            self._add(kind, begun)
        until = time.monotonic() + seconds
        while self._is_open and self._has_more():
            self._send()
            if time.monotonic() > until:
                return
            if self._frames:
                time.sleep(RETRY_SECONDS)

    def _pipe(self, kind: int) -> int:
        source, sink = os.pipe()
        os.set_blocking(source, False)
        self.sources[source] = kind
        return sink

    def _add(self, kind: int, data: bytes) -> None:
        if not data:
            return
        self.text += data
        if len(self.text) > 2 * self._keep:
            del self.text[: -self._keep]
        waiting = self._waiting[kind]
        waiting += data
        if len(waiting) > 2 * MOST_WAITING:
            # The oldest is lost, up to the end of a line where there is one.
            cut = waiting.find(b"\n", len(waiting) - MOST_WAITING) + 1
            cut = cut or len(waiting) - MOST_WAITING
            self._lost[kind] += waiting.count(b"\n", 0, cut)
            del waiting[:cut]

    def _take_mark(self, kind: int, name: bytes) -> None:
        self._marked[kind] = name
        if self._marked[OUT] == self._marked[ERR]:
            # A run is over, and its manager waits to hear so.
            self._over = name
            self.text.clear()
            self._send()

    def _has_more(self) -> bool:
        return bool(self._frames or self._over or any(self._waiting.values()))

    def _framed(self) -> bytes:
        frames = b""
        for kind, waiting in self._waiting.items():
            if waiting or self._lost[kind]:
                frames += HEAD.pack(kind, self._lost[kind], len(waiting)) + waiting
                self._lost[kind] = 0
                waiting.clear()
        if self._over:
            frames += HEAD.pack(END, 0, NAME_SIZE) + self._over
            self._over = b""
        return frames

    def _send(self) -> None:
        if not self._frames:
            self._frames = self._framed()
        try:
            while self._frames:
                self._frames = self._frames[os.write(self._sink, self._frames) :]
                if self._over and not self._frames:
                    self._frames = self._framed()
            self._next = time.monotonic() + PAUSE_SECONDS
        except BlockingIOError:
            self._next = time.monotonic() + RETRY_SECONDS
        except OSError:
            self._is_open = False  # the manager is gone, and nobody wants to know
            self._frames = b""


def _all_in(source: int, most: int) -> Iterator[bytes]:
    """What is in a pipe, in pieces."""
    while True:
        try:
            data = os.read(source, most)
        except OSError:
            return
        if not data:
            return
        yield data


def _begin_of_mark(data: bytes, done: int) -> int:
    """Where at its end a mark has begun that is not there in full."""
    for length in range(min(len(_BEGIN) - 1, len(data) - done), 0, -1):
        if _BEGIN.startswith(data[-length:]):
            return len(data) - length
    return len(data)

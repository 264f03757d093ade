"""What a child prints, as its warden passes it on."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from manager.feed import END, HEAD, NO_RUN

# A warden that does not say within this time that it has passed on all is in trouble.
SETTLE_SECONDS = 5.0
CHUNK = 256 * 1024

# Which pipe it came through, how many lines were lost before it, and what it is.
Heard = Callable[[int, int, bytes], None]


def _unheard(_kind: int, _lost: int, _text: bytes) -> None:
    """What is printed while nothing runs is of no order."""


class Prints:
    """The manager's end of a warden's feed; `control` tells the warden's end."""

    def __init__(self, feed: socket.socket, control: socket.socket) -> None:
        feed.setblocking(False)
        self._feed = feed
        self._control = control
        self._data = bytearray()
        self._heard: Heard = _unheard
        self._run = NO_RUN
        self._is_over = False
        self._poll = select.poll()
        for end in (feed, control):
            self._poll.register(end, select.POLLIN)

    def fileno(self) -> int:
        return self._feed.fileno()

    def begin(self, run: bytes, heard: Heard | None) -> None:
        """A run of this name begins: what it prints goes to `heard`."""
        self.listen()
        self._run, self._is_over = run, False
        self._heard = heard or _unheard

    def listen(self) -> bool:
        """Take what there is; False when no more can come."""
        while True:
            try:
                data = self._feed.recv(CHUNK)
            except OSError:
                return True
            if not data:
                with suppress(KeyError):
                    self._poll.unregister(self._feed)
                return False
            for kind, lost, text in self._framed(data):
                if kind == END:
                    self._is_over = self._is_over or text == self._run
                else:
                    self._heard(kind, lost, text)

    def settle(self) -> bool:
        """Wait until all has come that the run printed; False when it cannot be told from what the
        next one would print."""
        until = time.monotonic() + SETTLE_SECONDS
        while not self._is_over and (left := until - time.monotonic()) > 0:
            if self.wait(left):
                break
        self._heard = _unheard
        return self._is_over

    def wait(self, seconds: float) -> bool:
        """Take what comes; whether the warden has said something else, or has ended."""
        found = {descriptor for descriptor, _ in self._poll.poll(seconds * 1000)}
        self.listen()
        return self._control.fileno() in found

    def _framed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """What these bytes complete."""
        self._data += data
        while len(self._data) >= HEAD.size:
            kind, lost, size = HEAD.unpack_from(self._data)
            end = HEAD.size + size
            if len(self._data) < end:
                return
            text = bytes(self._data[HEAD.size : end])
            del self._data[:end]
            yield kind, lost, text

"""One stream: what is to be sent to who reads it, and how far it got."""

from __future__ import annotations

import threading
from collections import deque

from api.frames import Mark

MOST_BYTES = 512 * 1024


class Viewer:
    """Filled by the broadcaster's thread, emptied by the thread of the request.

    `mark` is behind which frame it is, None before it is known; the broadcaster's own. With an
    `owner` it is shown what happens to that one's orders, and nothing else.
    """

    def __init__(self, mark: Mark | None, owner: str | None = None) -> None:
        self.mark = mark
        self.owner = owner
        # Set once it is known where the stream begins, or that it does not.
        self.joined = threading.Event()
        self.over = False
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._shown: dict[str, bytes] = {}
        self._latest: dict[str, bytes] = {}

    @property
    def has_room(self) -> bool:
        """Whether its reader keeps up: what a slow one has not read yet stays in the database."""
        return self._size < MOST_BYTES

    def put(self, frames: bytes) -> None:
        """Send these after all before them."""
        with self._lock:
            self._frames.append(frames)
            self._size += len(frames)
        self._ready.set()

    def show(self, name: str, frame: bytes) -> None:
        """Send this unless it was sent already, or another of its name comes before it is read."""
        if self._shown.get(name) is not frame:
            self._shown[name] = frame
            with self._lock:
                self._latest[name] = frame
            self._ready.set()

    def end(self) -> None:
        """There will be no more."""
        self.over = True
        self.joined.set()
        self._ready.set()

    def take(self, seconds: float) -> bytes:
        """All that is to be sent now; nothing when there is none within this time."""
        self._ready.wait(seconds)
        self._ready.clear()
        with self._lock:
            taken = [*self._frames, *self._latest.values()]
            self._frames.clear()
            self._latest.clear()
            self._size = 0
        return b"".join(taken)

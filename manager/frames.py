"""Messages between a manager and a child process: JSON texts, each behind its length."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

import exact_json

_HEAD = struct.Struct(">I")
_CHUNK = 256 * 1024


class BadFrame(Exception):
    """What came is no message of ours: the other side is broken."""


class Line:
    """One end of a connection. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket, most: int = 2**32 - 1) -> None:
        """A message of more than `most` bytes is refused when it comes."""
        self._connection = connection
        self._most = most
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: Any) -> None:
        """Send one message. Raises `OSError` when nobody takes it, `BadJson` when it is no JSON."""
        text = exact_json.dumps(message).encode()
        with self._sending:
            self._connection.sendall(_HEAD.pack(len(text)) + text)

    def receive(self) -> list[Any]:
        """Wait for bytes; the messages that they complete, perhaps none.

        Raises `EOFError` when the other side is gone, `OSError`, `BadFrame`.
        """
        data = self._connection.recv(_CHUNK)
        if not data:
            raise EOFError
        self._buffer += data
        messages: list[Any] = []
        while len(self._buffer) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._buffer)
            if size > self._most:
                raise BadFrame(f"a message of {size:,} bytes")
            end = _HEAD.size + size
            if len(self._buffer) < end:
                break
            messages.append(_read(bytes(self._buffer[_HEAD.size : end])))
            del self._buffer[:end]
        return messages

    def close(self) -> None:
        self._connection.close()

    def forsake(self) -> None:
        """In a process that was forked: let go of the copy, which another process uses."""
        self._sending = threading.Lock()
        self._connection.close()


def _read(text: bytes) -> Any:
    try:
        return exact_json.loads(text)
    except exact_json.BadJson as error:
        raise BadFrame(str(error)) from None

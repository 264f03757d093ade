"""Messages between processes: whole, exact, and nothing that is none."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

import exact_json
from manager.frames import BadFrame, Line


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Line(ours, most=1_000_000), theirs


def receive(line: Line, count: int = 1) -> list[object]:
    messages: list[object] = []
    while len(messages) < count:
        messages += line.receive()
    return messages


@pytest.mark.parametrize(
    "message",
    [{}, {"a": [1, None, "é\ud800\0"]}, {"big": 2**100}, "x" * 900_000],
    ids=["empty", "odd", "big", "long"],
)
def test_what_is_sent_arrives(ends: tuple[Line, socket.socket], message: object) -> None:
    line, theirs = ends
    sender = threading.Thread(target=Line(theirs).send, args=(message,))
    sender.start()
    assert receive(line) == [message]
    sender.join()


def test_messages_are_told_apart_however_they_arrive(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    frames = b"".join(struct.pack(">I", len(text)) + text for text in (b"1", b'"two"', b"[3]"))
    arrived: list[object] = []
    for place in range(len(frames)):
        theirs.sendall(frames[place : place + 1])
        arrived += line.receive()
    assert arrived == [1, "two", [3]]
    theirs.sendall(frames)
    assert receive(line, 3) == [1, "two", [3]]


def test_the_end_is_told(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    theirs.close()
    with pytest.raises(EOFError):
        line.receive()
    with pytest.raises(OSError, match="Broken pipe"):
        line.send(1)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1", struct.pack(">I", 3) + b"{]}"])
def test_nonsense_is_refused(ends: tuple[Line, socket.socket], data: bytes) -> None:
    line, theirs = ends
    theirs.sendall(data)
    with pytest.raises(BadFrame):
        line.receive()


def test_what_is_no_json_is_not_sent(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    with pytest.raises(exact_json.BadJson):
        line.send(object())
    line.send(1)
    assert theirs.recv(100) == struct.pack(">I", 1) + b"1"


def test_many_threads_may_send(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    sending = Line(theirs)

    def send(number: int) -> None:
        for _ in range(50):
            sending.send([number] * 1_000)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    arrived = receive(line, 200)
    for thread in threads:
        thread.join()
    assert sorted(map(str, arrived)) == sorted(
        str([n] * 1_000) for n in range(4) for _ in range(50)
    )

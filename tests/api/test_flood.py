"""What clients send too much of, or too slowly: against a real server, whose sockets decide."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from api.json_request import MAX_BODY, MAX_BULK_BODY
from submissions.inputs import MOST_FIELDS
from tests.api.test_server import Server, outcome, serving
from tests.support import wait_until

ORDER = b'{"type":"add","payload":{"num1":1,"num2":2}}'


def chunked(server: Server, path: str, body: bytes) -> tuple[int, bytes]:
    """POST a body whose length is told by its chunks only."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
        link.sendall(head)
        for at in range(0, len(body), 1 << 16):
            part = body[at : at + (1 << 16)]
            link.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        link.sendall(b"0\r\n\r\n")
        answer = b""
        while part := link.recv(1 << 16):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


def test_a_chunked_body_is_read_to_its_end(database_url: str) -> None:
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        assert chunked(server, "/api/v1/jobs", ORDER)[0] == 202
        full = ORDER + b" " * (MAX_BODY - len(ORDER))
        assert chunked(server, "/api/v1/jobs", full)[0] == 202
        assert chunked(server, "/api/v1/jobs", full + b"garbage")[0] == 413
        bulk = b"[" + ORDER + b"]"
        long = bulk + b" " * (MAX_BULK_BODY - len(bulk))
        assert chunked(server, "/api/v1/jobs/bulk", long + b"garbage")[0] == 413
        assert server.call("GET", "/api/v1/metrics")[1]["total"] == 2


CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"


CUT_OR_UNREADABLE = {
    CHUNKS + b"ZZ\r\n": "chunks are not",
    CHUNKS + b"%x\r\n" % len(ORDER) + ORDER + b"xx0\r\n\r\n": "chunks are not",
    CHUNKS + b"%x\r\n" % len(ORDER) + ORDER + b"\r\n0\r\n": "chunks are not",
    CHUNKS + b"ff\r\n" + ORDER: "middle of a chunk",
    b"Content-Length: 99\r\n\r\n" + ORDER: f"after {len(ORDER)} of 99 bytes",
}


def test_a_body_that_is_cut_or_cannot_be_read_is_refused(database_url: str) -> None:
    """None of it counts, though what came is an order: who sent it may have meant more."""
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        for rest, said in CUT_OR_UNREADABLE.items():
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
                link.sendall(head + rest)
                link.shutdown(socket.SHUT_WR)
                answer = b""
                while part := link.recv(1 << 16):
                    answer += part
            assert answer.split(b" ", 2)[1] == b"400"
            assert said in json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
        assert server.call("GET", "/api/v1/metrics")[1]["total"] == 0


@pytest.mark.parametrize("begun", [b"", b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-"])
def test_clients_that_stop_half_way_give_their_threads_back(
    sqlite_template: Path, begun: bytes
) -> None:
    body = (
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    with serving(f"sqlite:///{sqlite_template}", WEB_CONCURRENCY="1") as server:
        links = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(24)]
        try:
            for link in links:
                link.sendall(begun or body)

            def is_alive() -> bool:
                try:
                    return server.call("GET", "/healthz")[0] == 200
                except OSError:
                    return False

            wait_until(is_alive, "the half-sent requests hold all threads", timeout=40)
        finally:
            for link in links:
                link.close()


def test_a_flood_of_fields_is_refused_without_naming_each(database_url: str) -> None:
    many = {f"k{number}": 1 for number in range(MOST_FIELDS + 1)}
    payload = {"num1": 1, "num2": 2, **{f"k{number}": 1 for number in range(50_000)}}
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        status, problem = server.call("POST", "/api/v1/jobs", many)
        assert status == 422
        assert f"has {len(many)} fields" in problem["errors"][0]["message"]
        status, problem = server.call("POST", "/api/v1/jobs", {"type": "add", "payload": payload})
        assert status == 422
        assert len(json.dumps(problem)) < 20_000
        wrong = [{"type": 1, "payload": 2}] * 9_000
        status, problem = server.call("POST", "/api/v1/jobs/bulk", wrong)
        assert status == 422
        assert len(json.dumps(problem)) < 40_000


def test_a_port_that_is_taken_is_refused_in_one_line(sqlite_template: Path) -> None:
    url = f"sqlite:///{sqlite_template}"
    with serving(url, WEB_CONCURRENCY="1") as server:
        code, output = outcome(f"127.0.0.1:{server.port}", DATABASE_URL=url)
        assert code == 4
    (line,) = [line for line in output.splitlines() if line.startswith("capataz:")]
    assert "PORT" in line

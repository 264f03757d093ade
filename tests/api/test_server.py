"""The API under gunicorn, as it is deployed: sockets, threads, signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ledger
from database import Database
from models import PENDING
from tests import factories
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def outcome(bind: str, **environ: str) -> tuple[int, str]:
    """How a server ended that should not start, and what it said."""
    process = start(bind, **environ)
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30)
    return process.returncode, output


def start(bind: str, **environ: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CAPATAZ_", "GUNICORN"))}
    kept.pop("WEB_CONCURRENCY", None)
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", bind],
        cwd=ROOT,
        env=kept | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Server:
    """A gunicorn that answers."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self.process = process

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            text = None if body is None else json.dumps(body)
            given = {"Content-Type": "application/json"} if text else {}
            link.request(method, path, text, given | headers)
            answer = link.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else None
        finally:
            link.close()

    def is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(database_url: str, **environ: str) -> Iterator[Server]:
    port = free_port()
    process = start(f"127.0.0.1:{port}", DATABASE_URL=database_url, **environ)
    server = Server(port, process)
    try:
        wait_until(server.is_ready, "gunicorn never answered")
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def test_orders_are_taken_and_answered_by_all_processes(
    database_url: str, database: Database
) -> None:
    with serving(database_url) as server:
        ids = []
        for number in range(20):
            status, order = server.call("GET", f"/api/v1/add/{number}/0.5")
            assert status == 202
            ids.append(order["jobId"])
        assert len(set(ids)) == 20
        assert {server.call("GET", f"/api/v1/job/{i}")[1]["status"] for i in ids} == {PENDING}
        assert ledger.levels(database).by_status == {PENDING: 20}
        assert server.stop() == 0


def test_a_stop_finishes_the_request_and_keeps_what_was_accepted(
    database_url: str, database: Database
) -> None:
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        order_id = factories.submit(database)
        answers: list[tuple[int, Any]] = []

        def wait() -> None:
            answers.append(server.call("GET", f"/api/v1/job/{order_id}?wait=25"))

        parked = threading.Thread(target=wait)
        parked.start()
        accepted: list[str] = []
        stopping = threading.Event()

        def submit() -> None:
            while not stopping.is_set():
                try:
                    status, order = server.call("POST", "/api/v1/add/1/2")
                except (OSError, http.client.HTTPException):
                    return
                if status == 202:
                    accepted.append(order["jobId"])

        writers = [threading.Thread(target=submit) for _ in range(4)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(accepted) > 50)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 10
        stopping.set()
        for writer in (*writers, parked):
            writer.join()
        assert [(status, order["status"]) for status, order in answers] == [(200, PENDING)]
        for order_id in accepted:
            ledger.find(database, order_id)


def test_waits_leave_threads_for_others(database_url: str, database: Database) -> None:
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        order_id = factories.submit(database)
        begin = time.monotonic()
        done: list[float] = []

        def wait() -> None:
            server.call("GET", f"/api/v1/job/{order_id}?wait=20")
            done.append(time.monotonic() - begin)

        threads = [threading.Thread(target=wait) for _ in range(20)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(done) == 12)  # 8 are parked, the others were answered at once
        assert server.call("GET", "/healthz")[0] == 200
        assert len(done) == 12
        ledger.cancel(database, order_id)
        for thread in threads:
            thread.join()
        assert max(done) < 15


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_an_open_address_is_refused_in_one_line(tmp_path: Path, host: str) -> None:
    code, output = outcome(f"{host}:{free_port()}", DATABASE_URL=f"sqlite:///{tmp_path}/c.db")
    assert code != 0
    (line,) = [line for line in output.splitlines() if line.startswith("capataz:")]
    assert "CAPATAZ_AUTH" in line
    assert "Traceback" not in output


def test_an_open_address_that_is_meant_is_served(sqlite_template: Path) -> None:
    port = free_port()
    url = f"sqlite:///{sqlite_template}"
    process = start(f"0.0.0.0:{port}", DATABASE_URL=url, CAPATAZ_AUTH="none")
    try:
        wait_until(Server(port, process).is_ready)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CAPATAZ_AUTH", "oidc", "token"),
        ("CAPATAZ_JOBS", "no.such.module", "no.such.module"),
        ("WEB_CONCURRENCY", "0", "WEB_CONCURRENCY"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    url = f"sqlite:///{tmp_path}/c.db"
    code, output = outcome(f"127.0.0.1:{free_port()}", **{"DATABASE_URL": url, name: value})
    assert code != 0
    (line,) = [line for line in output.splitlines() if line.startswith("capataz:")]
    assert told in line
    assert "Traceback" not in output


def test_headers_of_a_proxy_rewrite_nothing(database_url: str) -> None:
    with serving(database_url, FORWARDED_ALLOW_IPS="*", WEB_CONCURRENCY="1") as server:
        status, _ = server.call("GET", "/healthz/api/v1/jobs", SCRIPT_NAME="/healthz")
        assert status == 404


def test_every_line_of_the_log_is_json_and_names_its_request(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/not-migrated.db"
    process = start(
        f"127.0.0.1:{(port := free_port())}", DATABASE_URL=url, CAPATAZ_LOG_FORMAT="json"
    )
    server = Server(port, process)

    def answers() -> bool:
        try:
            return server.call("GET", "/healthz")[0] == 200
        except OSError:
            return False

    try:
        wait_until(answers)
        status, document = server.call("GET", "/readyz", **{"X-Request-Id": "probe-1"})
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=30)
    assert (status, document["requestId"]) == (503, "probe-1")
    lines = [json.loads(line) for line in output.splitlines()]
    (about,) = [line for line in lines if line.get("request_id") == "probe-1"]
    assert about["event"].startswith("not ready")
    assert any(line["logger"] == "gunicorn.error" for line in lines)


def said(port: int, request: bytes) -> bytes:
    """The first line of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(request)
        return link.makefile("rb").readline()


def test_what_is_too_much_is_refused_and_costs_no_worker(database_url: str) -> None:
    with serving(database_url, WEB_CONCURRENCY="1") as server:
        many = b"".join(b"X-%d: 1\r\n" % number for number in range(101))
        for request in (
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n",
        ):
            assert said(server.port, request).split()[1].startswith(b"4"), request[:60]
        assert server.call("GET", "/healthz")[0] == 200
        assert server.stop() == 0


@pytest.mark.parametrize("value", ["abc", "2.5", "-1"])
def test_the_web_line_says_in_one_line_what_is_wrong_with_its_number(value: str) -> None:
    (line,) = [
        line.removeprefix("web: ")
        for line in (ROOT / "Procfile").read_text().splitlines()
        if line.startswith("web: ")
    ]
    done = subprocess.run(
        ["sh", "-c", line],
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "WEB_CONCURRENCY": value},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 4
    assert done.stderr == f"capataz: WEB_CONCURRENCY is '{value}': write a whole number\n"

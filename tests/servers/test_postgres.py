"""The test server itself: it keeps what was committed, and nothing outlives its test run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.servers.postgres import PostgresError, PostgresServer, postgres_server

ROOT = Path(__file__).resolve().parents[2]

HOLDER = """
from tests.servers.postgres import PostgresServer
server = PostgresServer(fsync=False)
print(server.folder, (server.data / "postmaster.pid").read_text().split()[0], flush=True)
input()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        yield started


def test_what_was_committed_is_there_after_a_crash(server: PostgresServer) -> None:
    with server.fresh_database() as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        server.restart("immediate")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
    assert "was not properly shut down" in server.log


def test_a_stopped_server_takes_no_connection_and_keeps_its_port(server: PostgresServer) -> None:
    url = server.url("postgres")
    server.stop()
    assert not server.is_running()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_database_is_dropped_under_whoever_uses_it(server: PostgresServer) -> None:
    url = server.create_database("in_use")
    with psycopg.connect(url, autocommit=True) as connection:
        server.drop_database("in_use")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_a_named_server_is_left_as_it_was_found(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", server.url("postgres"))
    before = _databases(server)
    with postgres_server() as named:
        with psycopg.connect(named.create_database()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert len(_databases(server)) == len(before) + 1
    assert _databases(server) == before
    assert server.is_running()


def test_a_name_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "sqlite:///capataz.db")
    with pytest.raises(PostgresError, match="TEST_DATABASE_URL"), postgres_server():
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_process_that_started_it(number: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        folder, _, pid = holder.stdout.readline().rpartition(" ")
        postmaster = psutil.Process(int(pid))
        guard = _guard_of(holder.pid)
        holder.send_signal(number)
    _await_end(guard)
    assert _has_ended(postmaster)
    assert not Path(folder).exists()


def _databases(server: PostgresServer) -> list[str]:
    with psycopg.connect(server.url("postgres")) as connection:
        return [
            name for (name,) in connection.execute("SELECT datname FROM pg_database ORDER BY 1")
        ]


def _guard_of(holder: int) -> psutil.Process:
    (guard,) = psutil.Process(holder).children()
    assert "guard.py" in " ".join(guard.cmdline())
    return guard


def _await_end(process: psutil.Process) -> None:
    deadline = time.monotonic() + 30
    while not _has_ended(process):
        assert time.monotonic() < deadline, f"{process} goes on"
        time.sleep(0.02)


def _has_ended(process: psutil.Process) -> bool:
    # An orphan may stay a zombie for as long as the first process of a container likes.
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

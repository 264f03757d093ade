"""The commands: the rules of HTTP for an order, and any folder to be started in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

import ledger
from database import Database, Sql
from manage import cli
from models import COMPLETED
from tests import factories
from tests.api.calls import SUM, problem, submit
from tests.api.test_server import ROOT, Server, free_port
from tests.ledger import evidence
from tests.support import wait_until

USAGE = 2
REFUSED = 4


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"DATABASE_URL": url}, prog_name="manage.py")


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        *(("--timeout", "timeout", value) for value in (0, -1, 1e9, 1e300)),
        *(("--delay", "delay", value) for value in (-1, -0.001, 1e9)),
        *(("--max-attempts", "maxAttempts", value) for value in (0, -1, 1001, 10**30)),
        *(("--priority", "priority", value) for value in ("", "urgent", "HIGH", "0")),
        *(("--queue", "queue", value) for value in ("", "a b", "*", ".", "..", "x" * 65, "a\n")),
    ],
)
def test_a_value_is_refused_as_over_http(
    client: FlaskClient,
    database: Database,
    database_url: str,
    option: str,
    field: str,
    value: Any,
) -> None:
    done = run(database_url, "submit", "add", "num1=1", "num2=2", option, str(value))
    assert done.exit_code == USAGE, done.output
    (error,) = problem(submit(client, {**SUM, field: value}), 422)["errors"]
    assert f"{option} {error['message']}" in done.output
    assert ledger.levels(database).by_status == {}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "soon", ""])
@pytest.mark.parametrize("option", ["--timeout", "--delay", "--max-attempts"])
def test_a_number_must_be_one(
    database: Database, database_url: str, option: str, value: str
) -> None:
    done = run(database_url, "submit", "add", "num1=1", "num2=2", option, value)
    assert done.exit_code == USAGE
    assert option in done.output
    assert ledger.levels(database).by_status == {}


def test_all_that_is_wrong_is_told_at_once(database_url: str) -> None:
    options = ("--timeout", "0", "--max-attempts", "0")
    done = run(database_url, "submit", "add", "num1=1", "num2=2", *options)
    assert "--timeout must be greater than 0" in done.output
    assert "--max-attempts must be greater than or equal to 1" in done.output


@pytest.mark.parametrize("fields", [("num1=1", "num1=2"), ('num1={"a":1,"a":2}',)])
def test_what_is_given_twice_is_refused(database_url: str, fields: tuple[str, ...]) -> None:
    done = run(database_url, "submit", "add", "num2=2", *fields)
    assert done.exit_code == USAGE
    assert "num1" in done.output


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that is not the project's, with modules of the same names as the project's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("settings", "ledger", "api", "database", "addresses"):
        (folder / f"{name}.py").write_text("raise RuntimeError('not ours')\n")
    return folder


def started(folder: Path, url: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    foreign = ("CAPATAZ_", "GUNICORN", "PYTHONPATH", "WEB_CONCURRENCY")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=kept | {"DATABASE_URL": url} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def running(folder: Path, url: str, *arguments: str, **environ: str) -> Iterator[None]:
    """A server, told to stop at the end."""
    process = started(folder, url, *arguments, **environ)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output


def test_an_order_is_what_its_options_say(database: Database, database_url: str) -> None:
    def submitted(*options: str) -> ledger.OrderRow:
        arguments = ("manage.py", "submit", "sleep", "seconds=1", *options)
        output, _ = started(ROOT, database_url, *arguments).communicate(timeout=30)
        return ledger.find(database, output.strip())

    row = submitted("--queue", "naps", "--priority", "low", "--timeout", "0.25", "--delay", "0.5")
    assert (row.queue, row.priority, row.timeout_ms, row.max_attempts) == ("naps", 3, 250, 3)
    assert row.run_at == row.created_on + 500
    plain = submitted("--max-attempts", "7")
    assert (plain.queue, plain.priority, plain.timeout_ms) == ("default", 2, 3_600_000)
    assert (plain.max_attempts, plain.run_at) == (7, plain.created_on)


def test_every_command_works_in_another_folder(elsewhere: Path) -> None:
    """With the default database, which is then in that folder for all of them."""
    url, port, manage = "sqlite:///there.db", free_port(), str(ROOT / "manage.py")

    def told(*arguments: str) -> str:
        process = started(elsewhere, url, manage, *arguments)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output

    assert "applied 0001_orders" in told("migrate")
    told("migrate", "--down", "--yes")
    told("migrate")
    assert "schema up to date" in told("check")
    server = running(elsewhere, url, manage, "runserver", str(port))
    with server, running(elsewhere, url, manage, "manager"):
        assert told("submit", "add", "num1=1", "num2=2", "--wait").splitlines()[-1] == "3"
        link = Server(port, None)  # type: ignore[arg-type]
        wait_until(link.is_ready)
        status, order = link.call("POST", "/api/v1/add/2/5", Prefer="wait=20")
        assert (status, order["result"]) == (200, 7)
    assert (elsewhere / "there.db").exists()


def checked(database: Database, *options: str) -> tuple[int, str]:
    process = started(ROOT, database.url, "manage.py", "check", *options)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_a_check_says_how_durable_the_database_is(database: Database) -> None:
    code, output = checked(database)
    assert code == 0
    # The tests' server does not wait for the disk.
    expected = {"sqlite": "synchronous=full\n", "postgresql": "fsync=off"}[database.dialect]
    assert expected in output
    assert ("can lose orders" in output) is (database.dialect == "postgresql")


def test_a_check_audits_and_corrects_when_asked(database: Database) -> None:
    assert checked(database, "--audit")[1].splitlines()[-1].split() == ["audit", "nothing", "found"]
    order = factories.order_in(database, COMPLETED)
    forged = Sql("UPDATE job_order SET status = 'failed' WHERE id = :id")
    database.write(lambda tx: tx.run(forged, {"id": database.key(order.id)}))
    assert checked(database)[0] == 0
    code, output = checked(database, "--audit", "--whole")
    assert code == 1
    assert order.id in output
    assert "completed: 1 too many, failed: 1 too few" in output
    code, output = checked(database, "--correct")
    assert "completed -1, failed +1" in output
    assert checked(database, "--correct")[1].count("they agreed") == 1
    assert evidence.levels(database) == evidence.counted(database)


@pytest.mark.parametrize("command", [("runserver",), ("check",)])
@pytest.mark.parametrize("value", ["abc", "0", "1.5"])
def test_a_number_of_web_processes_must_be_one(
    sqlite_template: Path, command: tuple[str, ...], value: str
) -> None:
    url = f"sqlite:///{sqlite_template}"
    process = started(ROOT, url, "manage.py", *command, WEB_CONCURRENCY=value)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("Error: WEB_CONCURRENCY is ")
    assert "Traceback" not in output


@pytest.mark.parametrize("host", ["nowhere.invalid", "a b", "127.0.0.1:9000"])
@pytest.mark.parametrize("command", [("manage.py", "runserver"), ("scripts/run_local.py",)])
def test_where_nothing_can_listen_is_said_in_a_line(
    sqlite_template: Path, command: tuple[str, ...], host: str
) -> None:
    process = started(ROOT, f"sqlite:///{sqlite_template}", *command, HOST=host)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (1, REFUSED), output
    assert host in output.splitlines()[-1]
    assert "HOST" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_an_empty_number_of_web_processes_is_none(sqlite_template: Path) -> None:
    port = free_port()
    url = f"sqlite:///{sqlite_template}"
    with running(ROOT, url, "manage.py", "runserver", str(port), WEB_CONCURRENCY=""):
        wait_until(Server(port, None).is_ready)  # type: ignore[arg-type]


def said_by_make_run(folder: Path, url: str, **environ: str) -> str:
    """What it says until it is up; it is stopped then, and must end well."""
    process = started(folder, url, str(ROOT / "scripts/run_local.py"), **environ)
    assert process.stdout is not None
    shown: list[str] = []
    for line in process.stdout:
        shown.append(line)
        if "Ctrl-C" in line:
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, "".join(shown) + rest
    return "".join(shown)


def test_make_run_has_a_token_of_its_own_where_one_is_asked_for(tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/c.db", str(free_port())
    said = said_by_make_run(tmp_path, url, PORT=port, CAPATAZ_AUTH="token")
    assert "1 + 2 = 3" in said
    assert 'curl -H "Authorization: Bearer $CAPATAZ_TOKEN" -X POST' in said
    assert "cap_" not in said


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_what_make_run_shows_can_be_called_at_an_ipv6_address(tmp_path: Path, host: str) -> None:
    port = free_port()
    url = f"sqlite:///{tmp_path}/c.db"
    said = said_by_make_run(tmp_path, url, HOST=host, PORT=str(port))
    assert f"curl -X POST http://[::1]:{port}/api/v1/add/0.1/0.2" in said
    assert f"Serving on http://[::1]:{port}" in said
    assert "::1:" not in said.replace("[::1]:", "")
    assert "Listening at:  (" not in said


def test_make_run_says_that_its_manager_died_and_starts_another(tmp_path: Path) -> None:
    port, url = free_port(), f"sqlite:///{tmp_path}/c.db"
    process = started(tmp_path, url, str(ROOT / "scripts/run_local.py"), PORT=str(port))
    database = Database(url)
    try:
        assert process.stdout is not None
        next(line for line in process.stdout if "Ctrl-C" in line)
        (first,) = ledger.managers(database)
        os.kill(first.pid, signal.SIGKILL)
        said = next(line for line in process.stdout if f"process {first.pid})" in line)
        assert "was killed by SIGKILL" in said
        assert "another manager is started in 1 s" in said
        wait_until(lambda: len([m for m in ledger.managers(database) if m.pid != first.pid]) == 1)
        assert Server(port, None).is_ready()  # type: ignore[arg-type]
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
        database.close()
    assert process.returncode == 0, rest

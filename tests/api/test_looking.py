"""The commands that look: tables for people, and the API's JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

import ledger
from database import Database
from ledger.workers import WorkerReport, report_workers
from manage import cli
from models import COMPLETED, FAILED, WIP
from tests import factories
from tests.api.calls import JSON
from tests.api.test_workers import register

USAGE = 2
PLAN = {"expression": "0 3 * * *", "timezone": "UTC", "type": "add"}


@pytest.fixture
def run(database_url: str) -> Any:
    def run(*arguments: str) -> Result:
        environ = {"DATABASE_URL": database_url}
        return CliRunner().invoke(cli, arguments, env=environ, prog_name="manage.py")

    return run


def shown(done: Result) -> list[list[str]]:
    """The cells of a table."""
    assert done.exit_code == 0, done.output
    return [line.split() for line in done.output.splitlines()]


def test_orders_are_listed_newest_first(run: Any, database: Database) -> None:
    assert shown(run("jobs")) == [
        ["JOB", "TYPE", "QUEUE", "PRIORITY", "STATUS", "TRIES", "CREATED", "RAN", "WORKER"]
    ]
    first = factories.order_in(database, COMPLETED).id
    second = factories.submit(database, queue="naps", priority=1)
    _, newest, oldest = shown(run("jobs"))
    assert newest[:5] == [second, "add", "naps", "high", "pending"]
    assert newest[5:8] == ["0", "of", "3"]
    assert newest[-2:] == ["-", "-"]
    assert oldest[:5] == [first, "add", "default", "normal", "completed"]
    assert oldest[-3:] == ["5", "ms", "test-manager/1"]


def test_orders_are_filtered_as_over_http(
    run: Any, client: FlaskClient, database: Database
) -> None:
    failed = factories.order_in(database, FAILED).id
    factories.order_in(database, COMPLETED)
    for options, query in (
        (("--status", "failed"), "status=failed"),
        (("--status", "failed,completed", "--type", "add"), "status=failed,completed&type=add"),
        (("--queue", "default", "--limit", "1"), "queue=default&limit=1"),
        (("--q", failed), f"q={failed}"),
        (("--created-after", "2020-01-01T00:00:00Z"), "createdAfter=2020-01-01T00:00:00Z"),
    ):
        printed = run("jobs", "--json", *options)
        limit = "" if "limit" in query else "&limit=20"
        assert json.loads(printed.output) == client.get(f"/api/v1/jobs?{query}{limit}").json
    assert [row[0] for row in shown(run("jobs", "--status", "failed"))] == ["JOB", failed]


def test_a_long_list_says_how_to_go_on(run: Any, database: Database) -> None:
    ids = [factories.submit(database) for _ in range(3)]
    first = run("jobs", "--limit", "2")
    *_, last = first.output.splitlines()
    assert last.startswith("there are more: --cursor ")
    cursor = last.rpartition(" ")[2]
    assert [row[0] for row in shown(run("jobs", "--cursor", cursor))] == ["JOB", ids[0]]
    assert "filters" in run("jobs", "--cursor", cursor, "--type", "add").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("jobs", "--status", "done"), "--status"),
        (("jobs", "--limit", "0"), "--limit must be"),
        (("jobs", "--created-after", "soon"), "--created-after"),
        (("jobs", "--cursor", "!"), "--cursor"),
        (("workers", "--limit", "501"), "--limit must be"),
        (("workers", "--cursor", "!"), "--cursor"),
        (("schedules", "--limit", "0"), "--limit must be"),
        (("schedules", "--cursor", "!"), "--cursor"),
    ],
)
def test_what_is_not_understood_is_named(
    run: Any, database: Database, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments)
    assert done.exit_code == USAGE, done.output
    assert said in done.output


def test_workers_and_managers_are_listed(run: Any, client: FlaskClient, database: Database) -> None:
    register(database, queues="images,mail")
    order = factories.order_in(database, WIP).id
    for number in (1, 2):
        row = WorkerReport(f"m1/{number}", "busy", "thread", 12.5, 64.0, 1, 3, order)
        report_workers(database, "m1", [row])
    lines = shown(run("workers"))
    assert lines[0][:4] == ["WORKER", "STATE", "KIND", "CPU"]
    assert lines[1][:7] == ["m1/1", "busy", "thread", "12.5", "64.0", "3", order]
    assert lines[3] == []
    assert lines[5][:5] == ["m1", "running", "4", "images,mail", "none"]
    assert lines[5][-1] == "ago"
    assert json.loads(run("workers", "--json").output) == client.get("/api/v1/workers").json
    assert "there are more: --cursor" in run("workers", "--limit", "1").output


def test_schedules_are_listed(run: Any, client: FlaskClient, database: Database) -> None:
    for name in ("b", "a"):
        plan = {"name": name, "payload": {"num1": 1, "num2": 2}, **PLAN}
        made = client.post("/api/v1/schedules", data=json.dumps(plan), content_type=JSON)
        assert made.status_code == 201, made.text
    client.post("/api/v1/schedules/b/pause")
    _, first, second = shown(run("schedules"))
    assert first[:9] == ["a", "0", "3", "*", "*", "*", "UTC", "add", "enabled"]
    assert (second[0], second[8:]) == ("b", ["paused", "-", "-"])
    assert json.loads(run("schedules", "--json").output) == client.get("/api/v1/schedules").json
    page = run("schedules", "--limit", "1").output
    cursor = page.splitlines()[-1].rpartition(" ")[2]
    assert shown(run("schedules", "--cursor", cursor))[1][0] == "b"


def test_why_is_told_as_the_api_does(run: Any, client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    told = json.loads(run("why", order, "--json").output)
    answer: Any = client.get(f"/api/v1/jobs/{order}/why").json
    assert (told["jobId"], told["status"]) == (answer["jobId"], answer["status"])
    assert [one["code"] for one in told["reasons"]] == ["completed"]
    assert "[completed]" in run("why", order).output
    assert run("why", ledger.new_id()).exit_code == 1


def test_help_names_every_command(run: Any) -> None:
    said = run("--help").output
    for name in ("jobs", "workers", "schedules", "why", "submit", "check"):
        assert f"  {name} " in said

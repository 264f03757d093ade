"""Projects over HTTP."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import ledger
from database import Database, Row, Sql, Transaction
from ledger import fires
from tests.api.calls import JSON, fields_of, problem
from tests.ledger.evidence import events
from tests.ledger.timetable import all_due

REPOSITORY = {"url": "https://github.com/ana/sums"}
ALL = "/api/v1/projects"
URL = f"{ALL}/sums"


def call(client: FlaskClient, method: str, address: str = URL, /, **body: Any) -> TestResponse:
    text = json.dumps(body) if body else None
    return client.open(address, method=method, data=text, content_type=JSON if text else None)


def shown(response: TestResponse, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, response.text
    document: dict[str, Any] = json.loads(response.text)
    return document


def test_a_project_is_saved(client: FlaskClient, database: Database) -> None:
    response = call(
        client,
        "POST",
        ALL,
        name="sums",
        **REPOSITORY,
        ref="v1",
        args=["-x"],
        timeout=2.5,
        tags=["a"],
    )
    assert response.headers["Location"] == URL
    document = shown(response, 201)
    assert document == shown(client.get(URL))
    assert document.pop("createdOn") == document.pop("changedOn")
    assert document == {
        "name": "sums",
        "url": "https://github.com/ana/sums",
        "ref": "v1",
        "entry": "main.py",
        "args": ["-x"],
        "env": [],
        "requirements": None,
        "queue": "default",
        "priority": "normal",
        "maxAttempts": 1,
        "timeout": 2.5,
        "tags": ["a"],
        "owner": "",
        "runs": [],
        "endedRuns": 0,
        "meanDurationMs": None,
    }
    again = call(client, "POST", ALL, name="sums", **REPOSITORY)
    assert "PUT /api/v1/projects/sums" in problem(again, 409)["detail"]
    assert len(events(database, "project_created")) == 1


def test_it_is_replaced_and_deleted(client: FlaskClient, database: Database) -> None:
    first = shown(call(client, "PUT", **REPOSITORY), 201)
    assert shown(call(client, "PUT", **REPOSITORY)) == first
    assert not events(database, "project_changed")
    assert shown(call(client, "PUT", **REPOSITORY, entry="run.py"))["entry"] == "run.py"
    assert len(events(database, "project_changed")) == 1
    assert shown(call(client, "DELETE"))["entry"] == "run.py"
    for method, url in (("GET", URL), ("DELETE", URL), ("POST", f"{URL}/run")):
        assert (
            "GET /api/v1/projects lists them" in problem(call(client, method, url), 404)["detail"]
        )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "ext::sh -c id"}, "/url"),
        ({"url": "https://user:x@github.com/a/b"}, "/url"),
        ({**REPOSITORY, "ref": "--upload-pack=x"}, "/ref"),
        ({**REPOSITORY, "entry": "../x.py"}, "/entry"),
        ({**REPOSITORY, "name": "other"}, "/name"),
        ({**REPOSITORY, "limit": 1}, "/limit"),
        ({"ref": "main"}, "/url"),
    ],
)
def test_what_is_no_project_is_refused(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    assert field in fields_of(call(client, "PUT", **body))


def test_a_run_is_an_order_of_the_project(client: FlaskClient, database: Database) -> None:
    call(client, "PUT", **REPOSITORY, args=["1"], queue="programs")
    order = shown(call(client, "POST", f"{URL}/run"), 202)
    assert order["type"] == "github"
    assert order["queue"] == "programs"
    assert order["project"] == "sums"
    assert order["payload"] == {"name": "sums", **REPOSITORY, "args": ["1"]}
    (run,) = shown(client.get(URL))["runs"]
    assert (run["jobId"], run["status"], run["durationMs"]) == (order["jobId"], "pending", None)
    assert len(events(database, "project_run")) == 1


def test_a_key_makes_one_run(client: FlaskClient) -> None:
    call(client, "PUT", **REPOSITORY)
    headers = {"Idempotency-Key": "once"}
    first = shown(client.post(f"{URL}/run", headers=headers), 202)
    assert shown(client.post(f"{URL}/run", headers=headers))["jobId"] == first["jobId"]
    assert len(shown(client.get(URL))["runs"]) == 1


END = Sql("""
    UPDATE job_order SET status = :status, started_on = created_on,
        completed_on = created_on + :took
    WHERE id = :id RETURNING id""")


def end(ended: dict[str, Any], transaction: Transaction) -> list[Row]:
    return transaction.rows(END, ended)


def test_the_mean_is_of_runs_that_ended(client: FlaskClient, database: Database) -> None:
    call(client, "PUT", **REPOSITORY)
    ids = [shown(call(client, "POST", f"{URL}/run"), 202)["jobId"] for _ in range(3)]
    for order, status, took in zip(ids, ("completed", "failed"), (100, 301), strict=False):
        ended = {"id": database.key(order), "status": status, "took": took}
        assert database.write(partial(end, ended))
    document = shown(client.get(URL))
    assert document["endedRuns"] == 2
    assert document["meanDurationMs"] == 200.5
    assert [run["jobId"] for run in document["runs"]] == ids[::-1]
    assert ledger.find(database, ids[0]).project == "sums"


def test_they_are_listed_by_name(client: FlaskClient) -> None:
    for name in ("b", "c", "a"):
        call(client, "PUT", f"{ALL}/{name}", **REPOSITORY)
    first = shown(client.get(f"{ALL}?limit=2"))
    assert [item["name"] for item in first["items"]] == ["a", "b"]
    rest = shown(client.get(f"{ALL}?limit=2&cursor={first['nextCursor']}"))
    assert [item["name"] for item in rest["items"]] == ["c"]
    assert rest["nextCursor"] is None


def test_a_project_runs_by_a_schedule_of_its_name(client: FlaskClient, database: Database) -> None:
    call(client, "PUT", **REPOSITORY, timeout=60)
    plan = {"expression": "@daily", "timezone": "Europe/Madrid"}
    made = call(client, "PUT", f"{URL}/schedule", **plan)
    assert made.headers["Location"] == "/api/v1/schedules/sums"
    document = shown(made, 201)
    assert (document["name"], document["type"], document["project"]) == ("sums", "github", "sums")
    assert shown(call(client, "PUT", f"{URL}/schedule", **plan)) == document
    # What is changed later counts for the orders of the schedule, by hand and by its fires.
    call(client, "PUT", **REPOSITORY, ref="v2", timeout=90, tags=["late"])
    by_hand = shown(client.post("/api/v1/schedules/sums/run"), 202)
    all_due(database)
    (fired,) = fires.fire(database, "m")
    for order in (by_hand, shown(client.get(f"/api/v1/jobs/{fired.order}"))):
        assert (order["project"], order["schedule"]) == ("sums", "sums")
        assert (order["payload"]["ref"], order["tags"]) == ("v2", ["late"])
    assert {run["jobId"] for run in shown(client.get(URL))["runs"]} == {
        by_hand["jobId"],
        fired.order,
    }


def test_a_project_that_schedules_run_is_not_deleted(client: FlaskClient) -> None:
    call(client, "PUT", **REPOSITORY)
    call(client, "PUT", f"{URL}/schedule", expression="@daily")
    told = problem(client.delete(URL), 409)
    assert "run by schedules (sums)" in told["detail"]
    client.delete("/api/v1/schedules/sums")
    assert client.delete(URL).status_code == 200


def test_a_schedule_of_something_else_keeps_its_name(client: FlaskClient) -> None:
    call(client, "PUT", **REPOSITORY)
    other = {"expression": "@daily", "type": "add", "payload": {"num1": 1, "num2": 2}}
    call(client, "PUT", "/api/v1/schedules/sums", **other)
    problem(call(client, "PUT", f"{URL}/schedule", expression="@daily"), 409)
    problem(call(client, "PUT", f"{ALL}/none/schedule", expression="@daily"), 404)

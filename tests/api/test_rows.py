"""A client for every row of the table of requests: what each promises, on both databases.

A route without a row here fails. What a row promises in special cases has tests of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from database import Database
from models import COMPLETED, PENDING
from tests import factories
from tests.api.calls import NOBODY, SUM, fields_of, problem, submitted
from tests.api.rows import ROWS, Row, body, is_page, row, walked
from tests.api.test_access import routes
from tests.manager.by_hand import ByHand

PLAN = {"name": "nightly", "expression": "@daily", "type": "add", "payload": SUM["payload"]}


def test_no_row_is_missing() -> None:
    assert set(ROWS) == {(method, rule.rule) for method, rule in routes()}


@row("GET /api/v1/types")
def has_types(client: FlaskClient) -> None:
    types = {one["type"]: one for one in is_page(body(client.get("/api/v1/types")))}
    assert {"add", "sleep", "fail", "http"} <= set(types)
    assert set(types["add"]["payloadSchema"]["required"]) == {"num1", "num2"}


@row("GET /api/v1/workers", "GET /workers/status")
def has_workers(client: FlaskClient, database: Database, path: str) -> None:
    hand = ByHand(database)
    hand.work_off()
    document = body(client.get(path))
    is_page(document)
    assert [one["managerId"] for one in document["managers"]] == [hand.name]


@row("GET /api/v1/events")
def has_events(client: FlaskClient) -> None:
    order = submitted(client)
    (event,) = is_page(body(client.get(f"/api/v1/events?job={order}")))
    assert {"timestamp", "event", "description", "job", "worker"} <= set(event)
    assert event["event"] == "submitted"


@row("GET /api/v1/stream")
def streams(client: FlaskClient, database: Database) -> None:
    with client.get("/api/v1/stream", buffered=False) as answer:
        assert answer.mimetype == "text/event-stream"
        chunks: Iterator[Any] = iter(answer.response)
        text = next(chunks).decode()
        order = factories.submit(database)
        while order not in text:
            text += next(chunks).decode()
    assert "event: metrics" in text
    assert "\nid: " in text.partition(order)[0]


@row("GET /api/v1/metrics")
def has_figures(client: FlaskClient) -> None:
    document = body(client.get("/api/v1/metrics"))
    assert set(document["tasks"]) == {"pending", "inProgress", "completed", "failed"}
    assert set(document["workers"]) == {"active", "idle"}
    assert document["systemStatus"] == "Stable"
    assert {
        *("averageExecutionTimeMs", "uptime", "total", "retrieved", "cancelled", "statusReason"),
        *("oldestPendingSeconds", "processedPerMinute", "updatedOn", "statusSince"),
    } <= set(document)


@row("GET /api/v1/series")
def has_series(client: FlaskClient) -> None:
    assert body(client.get("/api/v1/series?minutes=5"))
    assert fields_of(client.get("/api/v1/series?minutes=0")) == {"minutes"}


@row("GET /api/v1/queues")
def has_queues(client: FlaskClient) -> None:
    for name in "abc":
        submitted(client, queue=name)
    assert walked(client, "/api/v1/queues?limit=1", "queue") == ["a", "b", "c"]


@row("POST /api/v1/queues/<name>/pause", "POST /api/v1/queues/<name>/resume")
def pauses_a_queue(client: FlaskClient) -> None:
    assert body(client.post("/api/v1/queues/naps/pause"))["allPaused"] == ["naps"]
    assert body(client.post("/api/v1/queues/naps/resume"))["allPaused"] == []


@row("POST /api/v1/pause", "POST /api/v1/resume")
def pauses_all(client: FlaskClient, database: Database) -> None:
    order = submitted(client)
    assert body(client.post("/api/v1/pause"))["paused"] is True
    ByHand(database).work_off()
    assert ledger.find(database, order).status == PENDING
    assert body(client.post("/api/v1/resume"))["paused"] is False
    ByHand(database, name="other").work_off()
    assert ledger.find(database, order).status == COMPLETED


@row(
    "GET /api/v1/schedules",
    "POST /api/v1/schedules",
    "GET /api/v1/schedules/<name>",
    "PUT /api/v1/schedules/<name>",
    "DELETE /api/v1/schedules/<name>",
    "POST /api/v1/schedules/<name>/run",
    "POST /api/v1/schedules/<name>/pause",
    "POST /api/v1/schedules/<name>/resume",
)
def has_schedules(client: FlaskClient) -> None:
    place = "/api/v1/schedules/nightly"
    made = client.post("/api/v1/schedules", json=PLAN)
    assert body(made, 201)["name"] == "nightly"
    assert made.headers["Location"] == place
    problem(client.post("/api/v1/schedules", json=PLAN), 409)
    assert body(client.put(place, json=PLAN | {"expression": "@hourly"}))["expression"] == "@hourly"
    client.put("/api/v1/schedules/other", json=PLAN | {"name": "other"})
    assert walked(client, "/api/v1/schedules?limit=1", "name") == ["nightly", "other"]
    assert body(client.get(place))["nextRuns"]
    assert body(client.post(f"{place}/pause"))["enabled"] is False
    assert body(client.post(f"{place}/resume"))["enabled"] is True
    assert body(client.post(f"{place}/run"), 202)["schedule"] == "nightly"
    assert body(client.delete(place))["name"] == "nightly"
    problem(client.get(place), 404)


@row(
    "GET /api/v1/projects",
    "POST /api/v1/projects",
    "GET /api/v1/projects/<name>",
    "PUT /api/v1/projects/<name>",
    "DELETE /api/v1/projects/<name>",
    "POST /api/v1/projects/<name>/run",
    "PUT /api/v1/projects/<name>/schedule",
)
def has_projects(client: FlaskClient) -> None:
    place = "/api/v1/projects/sums"
    project = {"name": "sums", "url": "https://github.com/ana/sums"}
    made = client.post("/api/v1/projects", json=project)
    assert body(made, 201)["name"] == "sums"
    assert made.headers["Location"] == place
    problem(client.post("/api/v1/projects", json=project), 409)
    assert body(client.put(place, json=project | {"ref": "v2"}))["ref"] == "v2"
    client.put("/api/v1/projects/other", json=project | {"name": "other"})
    assert walked(client, "/api/v1/projects?limit=1", "name") == ["other", "sums"]
    order = body(client.post(f"{place}/run"), 202)
    assert (order["project"], order["type"]) == ("sums", "github")
    assert [run["jobId"] for run in body(client.get(place))["runs"]] == [order["jobId"]]
    timing = {"expression": "@daily"}
    assert body(client.put(f"{place}/schedule", json=timing), 201)["project"] == "sums"
    problem(client.delete(place), 409)
    client.delete("/api/v1/schedules/sums")
    assert body(client.delete(place))["name"] == "sums"
    problem(client.get(place), 404)


@row("GET /metrics")
def has_prometheus_text(client: FlaskClient) -> None:
    submitted(client)
    answer = client.get("/metrics")
    assert answer.mimetype == "text/plain"
    assert "# TYPE capataz_" in answer.text


@row("GET /healthz", "GET /readyz")
def is_well(client: FlaskClient, path: str) -> None:
    assert set(body(client.get(path))) == {"status"}


@row("GET /openapi.json")
def describes_itself(client: FlaskClient) -> None:
    paths = body(client.get("/openapi.json"))["paths"]
    assert "/api/v1/job/{id}" in paths


@row("GET /", "GET /assets/<name>")
def has_a_dashboard(client: FlaskClient) -> None:
    assert client.get("/").status_code == 200  # built or not: the line that says how is one too
    problem(client.get("/assets/no-such-file.js"), 404)


@row("GET /docs", "GET /docs/<name>")
def has_a_page(client: FlaskClient) -> None:
    assert client.get("/docs").mimetype == "text/html"
    with client.get("/docs/swagger-ui-bundle.js") as script:
        assert script.status_code == 200


def checks() -> list[Any]:
    """Each check, once for all rows that it has in one go, else for each of them."""
    found = {
        (check, *((method, path) if {"method", "path"} & set(_named(check)) else ())): (
            pytest.param(check, method, path, id=f"{method} {path}")
        )
        for (method, path), check in ROWS.items()
    }
    return list(found.values())


def _named(check: Row) -> list[str]:
    return list(inspect.signature(check).parameters)


@pytest.mark.parametrize(("check", "method", "path"), checks())
def test_a_row(client: FlaskClient, database: Database, check: Row, method: str, path: str) -> None:
    known = {"client": client, "database": database, "path": path, "method": method}
    check(**{name: known[name] for name in _named(check)})


def test_a_wrong_method_is_405_on_every_row(app: Flask, client: FlaskClient) -> None:
    for rule in {rule.rule for _, rule in routes()}:
        path = rule.replace("<id>", NOBODY).replace("<name>", "x").replace("<num1>/<num2>", "1/2")
        answer = client.patch(path)
        problem(answer, 405)
        assert "PATCH" not in answer.headers["Allow"]

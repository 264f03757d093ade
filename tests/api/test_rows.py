"""A client for every row of the table of requests: what each promises, on both databases.

A route without a row here fails. What a row promises in special cases has tests of its own.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import ledger
from database import Database
from ledger.ids import parse_id
from manager.bulk import BulkActions
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED
from tests import factories
from tests.api.calls import NOBODY, SUM, fields_of, problem, submit, submitted
from tests.api.test_access import routes
from tests.manager.by_hand import ByHand

PLAN = {"name": "nightly", "expression": "@daily", "type": "add", "payload": SUM["payload"]}
ORDER = {
    *("jobId", "type", "queue", "status", "priority", "payload", "result", "error", "attempts"),
    *("maxAttempts", "progress", "worker", "createdOn", "runAt", "startedOn", "lastUpdated"),
    *("completedOn", "retrievedOn", "executionTimeMs", "owner", "tags"),
}

Row = Callable[..., None]
ROWS: dict[tuple[str, str], Row] = {}


def row(*requests: str) -> Callable[[Row], Row]:
    """This checks these requests; it is given those of `client`, `database`, `path` it names."""

    def note(check: Row) -> Row:
        for request in requests:
            method, path = request.split()
            ROWS[method, path] = check
        return check

    return note


def test_no_row_is_missing() -> None:
    assert set(ROWS) == {(method, rule.rule) for method, rule in routes()}


def body(response: TestResponse, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return json.loads(response.text)


def is_page(document: Any) -> list[Any]:
    assert {"items", "nextCursor"} <= set(document)
    found: list[Any] = document["items"]
    return found


def walked(client: FlaskClient, address: str, key: str) -> list[Any]:
    """What all pages have, by the addresses in `Link`."""
    found = []
    while address:
        answer = client.get(address)
        document = body(answer)
        found += [item[key] for item in is_page(document)]
        link = answer.headers.get("Link", "")
        assert bool(link) == (document["nextCursor"] is not None)
        address = link.partition(">")[0].removeprefix("<")
    return found


@row("GET /api/v1/add/<num1>/<num2>", "POST /api/v1/add/<num1>/<num2>")
def adds(client: FlaskClient, database: Database, method: str) -> None:
    answer = client.open("/api/v1/add/0.1/-20", method=method)
    order = body(answer, 202)
    assert set(order) == ORDER
    assert answer.headers["Location"] == f"/api/v1/job/{order['jobId']}"
    ByHand(database).work_off()
    assert client.get(f"/api/v1/job/{order['jobId']}/result").text == "-19.9"
    assert fields_of(client.open("/api/v1/add/1e5/NaN", method=method)) == {"num1", "num2"}


@row("GET /api/v1/job/<id>")
def the_customers_door(client: FlaskClient, database: Database) -> None:
    order = submitted(client)
    waiting = client.get(f"/api/v1/job/{order}")
    assert body(waiting)["status"] == PENDING
    assert waiting.headers["Retry-After"] == "1"
    same = {"If-None-Match": waiting.headers["ETag"]}
    assert client.get(f"/api/v1/job/{order}", headers=same).status_code == 304
    ByHand(database).work_off()
    assert client.head(f"/api/v1/job/{order}").status_code == 200
    first, second = (body(client.get(f"/api/v1/job/{order}?wait=5")) for _ in range(2))
    assert (first["status"], second["status"]) == (COMPLETED, RETRIEVED)
    assert first["result"] == second["result"] == 3
    problem(client.get(f"/api/v1/job/{NOBODY}"), 404)


@row("GET /api/v1/job/<id>/status")
def only_the_state(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    assert body(client.get(f"/api/v1/job/{order}/status"))["status"] == COMPLETED
    assert ledger.find(database, order).status == COMPLETED


@row("GET /api/v1/job/<id>/result")
def only_the_result(client: FlaskClient, database: Database) -> None:
    failed = factories.order_in(database, FAILED).id
    assert body(client.get(f"/api/v1/job/{failed}/result"))["type"] == "ValueError"
    done = factories.order_in(database, COMPLETED).id
    assert client.get(f"/api/v1/job/{done}/result").text == "3"
    assert ledger.find(database, done).status == RETRIEVED
    early = client.get(f"/api/v1/job/{submitted(client)}/result")
    problem(early, 409)
    assert early.headers["Retry-After"] == "1"


@row("POST /api/v1/jobs")
def submits(client: FlaskClient) -> None:
    answer = submit(client, {**SUM, "priority": "high", "tags": ["a"]}, Idempotency_Key="k")
    order = body(answer, 202)
    assert (order["status"], order["priority"], order["tags"]) == (PENDING, "high", ["a"])
    again = submit(client, {**SUM, "tags": ["a"], "priority": "high"}, Idempotency_Key="k")
    assert body(again)["jobId"] == order["jobId"]
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(submit(client, SUM, Idempotency_Key="k"), 422)
    assert fields_of(submit(client, {**SUM, "colour": 1})) == {"/colour"}
    problem(submit(client, "{"), 400)


@row("POST /api/v1/jobs/bulk")
def submits_many(client: FlaskClient, database: Database) -> None:
    ids = body(client.post("/api/v1/jobs/bulk", json=[SUM] * 3), 202)["jobIds"]
    assert [ledger.find(database, one).status for one in ids] == [PENDING] * 3
    bad = client.post("/api/v1/jobs/bulk", json=[SUM, {**SUM, "type": "nothing"}])
    assert fields_of(bad) == {"/1/type"}
    assert ledger.levels(database).by_status == {PENDING: 3}


@row("GET /api/v1/jobs", "GET /tasks")
def lists(client: FlaskClient, path: str) -> None:
    ids = [submitted(client, tags=["x"]) for _ in range(5)]
    assert walked(client, f"{path}?limit=2&status=pending&tag=x", "jobId") == ids[::-1]
    assert [one["jobId"] for one in is_page(body(client.get(f"{path}?q={ids[0]}")))] == [ids[0]]
    cursor = body(client.get(f"{path}?limit=2"))["nextCursor"]
    assert fields_of(client.get(f"{path}?limit=2&type=add&cursor={cursor}")) == {"cursor"}


@row("GET /api/v1/jobs/count")
def counts(client: FlaskClient) -> None:
    submitted(client)
    assert body(client.get("/api/v1/jobs/count?status=pending")) == {"count": 1}


@row("GET /api/v1/jobs/<id>", "GET /tasks/<id>")
def the_operators_door(client: FlaskClient, database: Database, path: str) -> None:
    order = factories.order_in(database, COMPLETED).id
    detail = body(client.get(path.replace("<id>", order)))
    assert {"history", "links", *ORDER} <= set(detail)
    assert detail["history"][0]["outcome"] == COMPLETED
    assert ledger.find(database, order).status == COMPLETED


@row("GET /api/v1/jobs/<id>/why")
def says_why(client: FlaskClient) -> None:
    reasons = body(client.get(f"/api/v1/jobs/{submitted(client)}/why"))["reasons"]
    assert reasons[0]["code"]
    assert reasons[0]["remedy"]


@row("GET /api/v1/jobs/<id>/logs")
def has_logs(client: FlaskClient) -> None:
    answer = client.get(f"/api/v1/jobs/{submitted(client)}/logs")
    assert is_page(body(answer)) == []
    assert 'rel="next"' in answer.headers["Link"]  # more may come


@row("POST /api/v1/jobs/<id>/cancel")
def cancels(client: FlaskClient) -> None:
    order = submitted(client)
    assert body(client.post(f"/api/v1/jobs/{order}/cancel"))["status"] == CANCELLED
    problem(client.post(f"/api/v1/jobs/{order}/cancel"), 409)


@row("POST /api/v1/jobs/<id>/retry")
def retries(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, FAILED).id
    again = body(client.post(f"/api/v1/jobs/{order}/retry"))
    assert (again["status"], again["attempts"]) == (PENDING, 0)
    problem(client.post(f"/api/v1/jobs/{order}/retry"), 409)


@row("DELETE /api/v1/jobs/<id>")
def deletes(client: FlaskClient, database: Database) -> None:
    problem(client.delete(f"/api/v1/jobs/{submitted(client)}"), 409)
    ByHand(database).work_off()
    order = factories.order_in(database, FAILED).id
    assert body(client.delete(f"/api/v1/jobs/{order}"))["jobId"] == order
    problem(client.get(f"/api/v1/jobs/{order}"), 404)


@row("POST /api/v1/jobs/actions", "GET /api/v1/jobs/actions/<id>")
def acts_on_many(client: FlaskClient, database: Database) -> None:
    ids = [submitted(client) for _ in range(3)]
    wanted = {"action": "cancel", "filter": {"status": ["pending"]}}
    started = client.post("/api/v1/jobs/actions", json=wanted)
    assert body(started, 202)["done"] == 0
    assert parse_id(body(started, 202)["actionId"])
    BulkActions(database, "m", lambda: None, lambda: None).tick()
    told = body(client.get(started.headers["Location"]))
    assert (told["state"], told["total"], told["done"]) == ("done", 3, 3)
    assert {ledger.find(database, one).status for one in ids} == {CANCELLED}


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

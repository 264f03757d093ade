"""Rows of the table of requests that are about orders, and how a row is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import ledger
from database import Database
from ledger.ids import parse_id
from manager.bulk import BulkActions
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED
from tests import factories
from tests.api.calls import NOBODY, SUM, fields_of, problem, submit, submitted
from tests.manager.by_hand import ByHand

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

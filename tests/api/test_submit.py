"""Submitting: what is accepted, what is stored, and that every digit survives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from api import create_app
from api.services import services
from database import Database
from jobs import registry
from models import PRIORITIES
from settings import Settings
from tests.api.calls import SUM, fields_of, submit, submitted


def test_an_accepted_order_is_in_the_table_and_in_the_answer(
    client: FlaskClient, database: Database
) -> None:
    response = submit(client)
    assert response.status_code == 202
    order = response.json
    assert order is not None
    assert response.headers["Location"] == f"/api/v1/job/{order['jobId']}"
    assert response.headers["Retry-After"] == "1"
    row = ledger.find(database, order["jobId"])
    assert (row.type, row.status, row.queue) == ("add", "pending", "default")
    assert row.payload == '{"num1":1,"num2":2}'
    assert client.get(response.headers["Location"]).json == order
    assert list(order) == [
        *("jobId", "type", "queue", "status", "priority", "payload", "result", "error"),
        *("attempts", "maxAttempts", "progress", "worker", "createdOn", "runAt", "startedOn"),
        *("lastUpdated", "completedOn", "retrievedOn", "executionTimeMs", "owner", "tags"),
    ]
    assert order["createdOn"].endswith("Z")
    assert len(order["createdOn"]) == len("2026-01-31T12:00:00.000Z")


def test_all_fields_reach_the_order(client: FlaskClient, database: Database) -> None:
    order_id = submitted(
        client,
        queue="images",
        priority="high",
        runAt="2100-01-31T12:00:00.123+02:00",
        maxAttempts=7,
        timeout=1.5,
        maxSilence=0.25,
        tags=["a b", "é", "\U0001f600"],
        callbackUrl="https://example.org/hook?x=1",
    )
    row = ledger.find(database, order_id)
    assert (row.queue, row.priority, row.max_attempts) == ("images", PRIORITIES["high"], 7)
    assert (row.timeout_ms, row.max_silence_ms) == (1500, 250)
    assert row.callback_url == "https://example.org/hook?x=1"
    shown = client.get(f"/api/v1/jobs/{order_id}").json
    assert shown is not None
    assert shown["runAt"] == "2100-01-31T10:00:00.123Z"
    assert shown["tags"] == ["a b", "é", "\U0001f600"]


def test_a_delay_is_from_the_moment_of_the_commit(client: FlaskClient, database: Database) -> None:
    row = ledger.find(database, submitted(client, delay=90.5))
    assert row.run_at - row.created_on == 90_500


def test_what_is_left_out_comes_from_the_type_and_then_from_the_settings(
    database: Database,
) -> None:
    own = registry.Registry()
    own.job("slow", queue="night", timeout=9, max_attempts=1, priority="low")(_slow)
    registry._registry._types["slow"] = own.get("slow")
    app = create_app(Settings(timeout_seconds=77, max_attempts=5), database)
    try:
        client = app.test_client()
        of_type = ledger.find(database, submitted(client, type="slow", payload={}))
        of_settings = ledger.find(database, submitted(client))
    finally:
        services(app).close()
        del registry._registry._types["slow"]
    assert (of_type.queue, of_type.timeout_ms, of_type.max_attempts) == ("night", 9_000, 1)
    assert of_type.priority == PRIORITIES["low"]
    assert (of_settings.queue, of_settings.timeout_ms) == ("default", 77_000)
    assert of_settings.max_attempts == 5


def _slow(context: Any) -> None:
    """Nothing."""


@pytest.mark.parametrize(
    "number",
    [
        "0.1",
        "0.10",
        "9007199254740993",
        "9223372036854775808",
        "-9223372036854775809",
        "9" * 400,
        "0." + "1" * 400,
        "1.0",
        "-0",
    ],
)
def test_numbers_arrive_as_they_were_sent(client: FlaskClient, number: str) -> None:
    text = f'{{"type":"add","payload":{{"num1":{number},"num2":2}}}}'
    response = submit(client, text)
    assert response.status_code == 202
    stored = "0" if number == "-0" else number
    wanted = f'"payload":{{"num1":{stored},"num2":2}}'
    assert wanted in response.text
    for door in ("job", "jobs"):
        assert wanted in client.get(f"/api/v1/{door}/{response.json['jobId']}").text  # type: ignore[index]
    assert wanted in client.get("/api/v1/jobs").text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("one", "two", "payload"),
    [
        ("1", "2", '{"num1":1,"num2":2}'),
        ("+1", "-2.50", '{"num1":1,"num2":-2.50}'),
        ("0.1", "0.2", '{"num1":0.1,"num2":0.2}'),
        ("007", "9" * 400, f'{{"num1":7,"num2":{"9" * 400}}}'),
    ],
)
def test_a_sum_is_submitted_by_its_address(
    client: FlaskClient, method: str, one: str, two: str, payload: str
) -> None:
    response = client.open(f"/api/v1/add/{one}/{two}", method=method)
    assert response.status_code == 202
    assert '"type":"add",' in response.text
    assert f'"payload":{payload},' in response.text
    assert response.headers["Location"] == f"/api/v1/job/{response.json['jobId']}"  # type: ignore[index]


def test_a_batch_is_accepted_in_its_order(client: FlaskClient, database: Database) -> None:
    orders = [{**SUM, "payload": {"num1": place, "num2": 0}} for place in range(100)]
    response = client.post("/api/v1/jobs/bulk", json=orders)
    assert response.status_code == 202
    ids = response.json["jobIds"]  # type: ignore[index]
    assert ids == sorted(ids)
    payloads = [json.loads(ledger.find(database, order_id).payload)["num1"] for order_id in ids]
    assert payloads == list(range(100))


def test_a_batch_with_one_bad_order_accepts_none(client: FlaskClient, database: Database) -> None:
    orders = [SUM, {**SUM, "type": "nope"}, {**SUM, "payload": {"num1": "x"}}, SUM]
    response = client.post("/api/v1/jobs/bulk", json=orders)
    assert response.status_code == 422
    pointers = {error["pointer"] for error in response.json["errors"]}  # type: ignore[index]
    assert pointers == {"/1/type", "/2/payload/num1", "/2/payload/num2"}
    assert ledger.levels(database).by_status == {}


def test_a_batch_may_be_larger_than_an_order(client: FlaskClient) -> None:
    orders = [{"type": "fail", "payload": {"message": "x" * 300_000}}] * 10
    assert client.post("/api/v1/jobs/bulk", json=orders).status_code == 202


def test_every_order_of_the_largest_batch_is_accepted(
    client: FlaskClient, database: Database
) -> None:
    response = client.post("/api/v1/jobs/bulk", json=[SUM] * 10_000)
    assert response.status_code == 202
    assert len(set(response.json["jobIds"])) == 10_000  # type: ignore[index]
    assert ledger.levels(database).by_status == {"pending": 10_000}


def test_the_application_starts_nothing_before_its_first_submit(app: Flask) -> None:
    assert services(app).committer._thread is None
    assert services(app).waiter._thread is None


def test_nobody_can_have_a_webhook_signed(client: FlaskClient) -> None:
    told = {"url": "https://example.com/", "job_id": "x", "job_type": "add"}
    payload = {**told, "status": "completed", "ended_on": 0}
    assert fields_of(submit(client, {"type": "webhook", "payload": payload})) == {"/type"}


def test_a_copy_names_the_order_that_it_runs_again(client: FlaskClient) -> None:
    first = submitted(client)
    second = submitted(client, copyOf=first)
    assert client.get(f"/api/v1/jobs/{second}").json["copyOf"] == first  # type: ignore[index]
    assert fields_of(submit(client, {**SUM, "copyOf": "first"})) == {"/copyOf"}

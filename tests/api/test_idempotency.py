"""`Idempotency-Key`: a repeat gets the first answer, in any interleaving."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from database import Database
from tests.api.calls import JSON, SUM, fields_of, problem, submit

KEY = "Idempotency-Key"


def test_a_repeat_answers_the_first_order(client: FlaskClient, database: Database) -> None:
    first = submit(client, Idempotency_Key="k1")
    again = submit(client, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert ledger.levels(database).by_status == {"pending": 1}


def test_the_body_counts_as_parsed(client: FlaskClient) -> None:
    first = submit(client, '{"type":"add","payload":{"num1":1,"num2":2}}', Idempotency_Key="k")
    again = submit(
        client, ' {"payload" :{"num2":2, "num1":1},\n"type":"\\u0061dd"}', Idempotency_Key="k"
    )
    assert again.status_code == 200
    assert again.json == first.json


def test_a_key_may_be_quoted(client: FlaskClient) -> None:
    assert submit(client, Idempotency_Key='"k"').status_code == 202
    assert submit(client, Idempotency_Key="k").status_code == 200


@pytest.mark.parametrize("other", ["1.0", "2", "1.00"])
def test_another_body_is_refused(client: FlaskClient, other: str) -> None:
    assert submit(client, Idempotency_Key="k").status_code == 202
    text = f'{{"type":"add","payload":{{"num1":{other},"num2":2}}}}'
    assert fields_of(submit(client, text, Idempotency_Key="k")) == {KEY}


def test_a_repeat_shows_the_order_as_it_is_now(client: FlaskClient, database: Database) -> None:
    order_id = submit(client, Idempotency_Key="k").json["jobId"]  # type: ignore[index]
    ledger.cancel(database, order_id)
    assert submit(client, Idempotency_Key="k").json["status"] == "cancelled"  # type: ignore[index]


def test_a_deleted_order_keeps_its_key(client: FlaskClient, database: Database) -> None:
    order_id = submit(client, Idempotency_Key="k").json["jobId"]  # type: ignore[index]
    ledger.cancel(database, order_id)
    ledger.delete(database, order_id)
    problem(submit(client, Idempotency_Key="k"), 409)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_a_key_that_cannot_be_one_is_refused(client: FlaskClient, key: str) -> None:
    response = client.post("/api/v1/jobs", json=SUM, headers={KEY: key.encode().decode("latin-1")})
    assert fields_of(response) == {KEY}


def test_a_batch_has_one_key(client: FlaskClient, database: Database) -> None:
    def post(count: int) -> tuple[int, str | None, list[str]]:
        response = client.post("/api/v1/jobs/bulk", json=[SUM] * count, headers={KEY: "k"})
        replayed = response.headers.get("Idempotency-Replayed")
        return response.status_code, replayed, (response.json or {}).get("jobIds", [])

    status, replayed, ids = post(3)
    assert (status, replayed, len(ids)) == (202, None, 3)
    assert post(3) == (200, "true", ids)
    assert post(2)[0] == 422
    assert ledger.levels(database).by_status == {"pending": 3}


def test_a_sum_by_its_address_understands_a_key(client: FlaskClient) -> None:
    first = client.get("/api/v1/add/1/2", headers={KEY: "k"})
    again = client.post("/api/v1/add/1/2", headers={KEY: "k"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json == first.json
    assert client.get("/api/v1/add/1/3", headers={KEY: "k"}).status_code == 422


def test_a_race_for_a_key_makes_one_order(app: Flask, database: Database) -> None:
    def post(_: int) -> tuple[int, str]:
        response = app.test_client().post(
            "/api/v1/jobs", data=json.dumps(SUM), content_type=JSON, headers={KEY: "race"}
        )
        return response.status_code, response.json["jobId"]  # type: ignore[index]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [202]
    assert len({order_id for _, order_id in answers}) == 1
    assert ledger.levels(database).by_status == {"pending": 1}


def test_a_race_with_different_bodies_accepts_one(app: Flask, database: Database) -> None:
    def post(number: int) -> int:
        body = {"type": "add", "payload": {"num1": number, "num2": 0}}
        return app.test_client().post("/api/v1/jobs", json=body, headers={KEY: "k"}).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(post, range(20)))
    assert statuses == [202] + [422] * 19
    assert ledger.levels(database).by_status == {"pending": 1}

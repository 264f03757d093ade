"""The customer's door: state, result, retrieval, waiting, and what browsers may not do."""

from __future__ import annotations

import json
import threading
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from api.services import services
from database import Database
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED
from tests import factories
from tests.api.calls import SUM, problem, submit, submitted
from tests.support import wait_until


def status(database: Database, order_id: str) -> str:
    return ledger.find(database, order_id).status


def completed(database: Database, result: str = "3") -> str:
    order_id = factories.submit(database)
    (claimed,) = factories.claim(database)
    ledger.finish(database, factories.MANAGER, [factories.ending(claimed, result=result)])
    return order_id


def test_the_first_answer_says_completed_and_later_ones_retrieved(
    client: FlaskClient, database: Database
) -> None:
    order_id = completed(database)
    first = client.get(f"/api/v1/job/{order_id}").json
    second = client.get(f"/api/v1/job/{order_id}").json
    assert first is not None
    assert second is not None
    assert (first["status"], first["result"], first["retrievedOn"]) == ("completed", 3, None)
    assert (second["status"], second["result"]) == ("retrieved", 3)
    assert second["retrievedOn"] is not None
    assert first["executionTimeMs"] == 5
    assert first["worker"] == f"{factories.MANAGER}/1"


@pytest.mark.parametrize(
    "address",
    ["/api/v1/jobs/{}", "/tasks/{}", "/api/v1/job/{}/status", "/api/v1/jobs", "/tasks"],
)
def test_other_doors_retrieve_nothing(
    client: FlaskClient, database: Database, address: str
) -> None:
    order_id = completed(database)
    assert '"status":"completed"' in client.get(address.format(order_id)).text
    assert status(database, order_id) == COMPLETED


@pytest.mark.parametrize("address", ["/api/v1/job/{}", "/api/v1/job/{}/result"])
def test_a_head_retrieves_nothing(client: FlaskClient, database: Database, address: str) -> None:
    order_id = completed(database)
    response = client.head(address.format(order_id))
    assert (response.status_code, response.data) == (200, b"")
    assert status(database, order_id) == COMPLETED


def test_a_head_submits_nothing(client: FlaskClient, database: Database) -> None:
    assert client.head("/api/v1/add/1/2").status_code == 405
    assert ledger.levels(database).by_status == {}


def test_an_unchanged_order_is_304_and_is_not_retrieved(
    client: FlaskClient, database: Database
) -> None:
    order_id = completed(database)
    address = f"/api/v1/job/{order_id}"
    tag = client.head(address).headers["ETag"]
    assert tag.startswith('W/"')
    same = client.get(address, headers={"If-None-Match": tag})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert status(database, order_id) == COMPLETED
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    assert status(database, order_id) == RETRIEVED


def test_every_move_changes_the_tag(client: FlaskClient, database: Database) -> None:
    order_id = factories.submit(database)
    tags = [client.head(f"/api/v1/job/{order_id}").headers["ETag"]]
    (claimed,) = factories.claim(database)
    tags.append(client.head(f"/api/v1/job/{order_id}").headers["ETag"])
    ledger.finish(database, factories.MANAGER, [factories.ending(claimed, FAILED)])
    tags.append(client.head(f"/api/v1/job/{order_id}").headers["ETag"])
    ledger.retry(database, order_id)
    tags.append(client.head(f"/api/v1/job/{order_id}").headers["ETag"])
    assert len(set(tags)) == 4


@pytest.mark.parametrize(
    "result",
    ["3", "null", "0.30", '"text"', "9" * 400, '{"a":[1.10,{"b":9007199254740993}]}', '"\\ud800"'],
)
def test_the_result_comes_as_the_job_returned_it(
    client: FlaskClient, database: Database, result: str
) -> None:
    order_id = completed(database, result)
    assert client.get(f"/api/v1/job/{order_id}/result").text == result
    assert status(database, order_id) == RETRIEVED
    assert client.get(f"/api/v1/job/{order_id}/result").text == result
    assert f'"result":{result},' in client.get(f"/api/v1/job/{order_id}").text


def test_there_is_no_result_before_the_end(client: FlaskClient, database: Database) -> None:
    order_id = submitted(client)
    response = client.get(f"/api/v1/job/{order_id}/result")
    problem(response, 409)
    assert response.headers["Retry-After"] == "1"
    factories.claim(database)
    problem(client.get(f"/api/v1/job/{order_id}/result"), 409)
    ledger.cancel(database, order_id)
    response = client.get(f"/api/v1/job/{order_id}/result")
    problem(response, 409)
    assert "Retry-After" not in response.headers


def test_the_result_of_a_failed_order_is_its_error(client: FlaskClient, database: Database) -> None:
    row = factories.order_in(database, FAILED)
    response = client.get(f"/api/v1/job/{row.id}/result")
    assert response.status_code == 200
    assert response.json == {"type": "ValueError", "message": "wrong"}
    assert client.get(f"/api/v1/job/{row.id}").json["error"] == response.json  # type: ignore[index]
    assert status(database, row.id) == FAILED


def test_two_at_once_retrieve_once(app: Flask, database: Database) -> None:
    order_id = completed(database)
    seen = []

    def get() -> None:
        seen.append(app.test_client().get(f"/api/v1/job/{order_id}").json["status"])  # type: ignore[index]

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == ["completed"] + ["retrieved"] * 7
    assert ledger.levels(database).by_status == {"retrieved": 1, "completed": 0, "pending": 0} | {
        "wip": 0
    }


def test_retry_after_while_it_has_not_ended(client: FlaskClient, database: Database) -> None:
    order_id = submitted(client)
    for address in (f"/api/v1/job/{order_id}", f"/api/v1/job/{order_id}/status"):
        assert client.get(address).headers["Retry-After"] == "1"
    ledger.cancel(database, order_id)
    for address in (f"/api/v1/job/{order_id}", f"/api/v1/job/{order_id}/status"):
        assert "Retry-After" not in client.get(address).headers


def finish_once_waited_for(app: Flask, database: Database) -> threading.Thread:
    def finish() -> None:
        wait_until(lambda: services(app).waiter._parked)
        (claimed,) = factories.claim(database)
        ledger.finish(database, factories.MANAGER, [factories.ending(claimed)])
        database.close()

    thread = threading.Thread(target=finish)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("query", "headers"), [("?wait=20", {}), ("", {"Prefer": "wait=20, respond-async"})]
)
def test_a_wait_ends_with_the_order(
    app: Flask, client: FlaskClient, database: Database, query: str, headers: dict[str, str]
) -> None:
    order_id = submitted(client)
    thread = finish_once_waited_for(app, database)
    begin = time.monotonic()
    response = client.get(f"/api/v1/job/{order_id}{query}", headers=headers)
    thread.join()
    assert time.monotonic() - begin < 10
    assert response.json["status"] == "completed"  # type: ignore[index]
    assert response.headers.get("Preference-Applied") == ("wait=20" if headers else None)
    assert status(database, order_id) == RETRIEVED


def test_a_submit_may_wait_for_its_result(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    thread = finish_once_waited_for(app, database)
    response = submit(client, Prefer="wait=20")
    thread.join()
    assert (response.status_code, response.json["result"]) == (200, 3)  # type: ignore[index]
    assert response.headers["Preference-Applied"] == "wait=20"
    assert response.headers["Location"].startswith("/api/v1/job/")
    assert status(database, response.json["jobId"]) == COMPLETED  # type: ignore[index]


def test_a_wait_that_ends_first_answers_what_is_known(client: FlaskClient) -> None:
    begin = time.monotonic()
    response = client.get(f"/api/v1/job/{submitted(client)}?wait=0.2")
    assert time.monotonic() - begin >= 0.2
    assert response.json["status"] == PENDING  # type: ignore[index]
    slow = submit(client, Prefer="wait=0")
    assert slow.status_code == 202


def test_a_wait_with_a_tag_is_304_when_nothing_happened(client: FlaskClient) -> None:
    address = f"/api/v1/job/{submitted(client)}"
    tag = client.get(address).headers["ETag"]
    response = client.get(f"{address}?wait=0.1", headers={"If-None-Match": tag})
    assert response.status_code == 304


@pytest.mark.parametrize(
    ("preference", "applied"),
    [
        ("wait=26", 25),
        ("wait=9999999999", 25),
        ("wait=" + "9" * 6_000, 25),
        ("wait=" + "0" * 6_000, 0),
        ("wait=007", 7),
        ('respond-async; x="a, b" , WAIT = "7", wait=9', 7),
    ],
)
def test_a_preferred_wait_is_cut_to_the_longest(
    client: FlaskClient, database: Database, preference: str, applied: int
) -> None:
    row = factories.order_in(database, CANCELLED)
    response = client.get(f"/api/v1/job/{row.id}", headers={"Prefer": preference})
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == f"wait={applied}"


@pytest.mark.parametrize(
    "preference",
    [
        *(
            "wait=x",
            "wait",
            "waiting=5",
            "handling=lenient",
            "",
            "wait=huge",
            "wait=-1",
            "wait=2.5",
        ),
        *(
            "wait=1e9",
            "wait=inf",
            "wait=\xb2",
            "wait=huge, wait=5",
            'note="x, wait=5"',
            'x="wait=5',
        ),
        *('"' * 4_000, "wait=" + '"\\' * 2_000),
    ],
)
def test_a_preference_that_is_not_understood_is_ignored(
    client: FlaskClient, preference: str
) -> None:
    response = submit(client, Prefer=preference)
    assert response.status_code == 202
    assert "Preference-Applied" not in response.headers


CROSS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
]
OWN = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
    {"Origin": "https://proxy.example", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", CROSS)
def test_a_page_of_another_site_can_write_nothing(
    client: FlaskClient, database: Database, headers: dict[str, str]
) -> None:
    order_id = completed(database)
    other = submitted(client)
    for method, address in (
        ("GET", "/api/v1/add/1/2"),
        ("POST", "/api/v1/add/1/2"),
        ("GET", f"/api/v1/job/{order_id}"),
        ("GET", f"/api/v1/job/{order_id}/result"),
        ("POST", f"/api/v1/jobs/{other}/cancel"),
        ("DELETE", f"/api/v1/jobs/{order_id}"),
        ("POST", "/api/v1/pause"),
    ):
        problem(client.open(address, method=method, headers=headers), 403)
    problem(client.post("/api/v1/jobs", json=SUM, headers=headers), 403)
    assert (status(database, order_id), status(database, other)) == (COMPLETED, PENDING)
    assert client.get(f"/api/v1/jobs/{order_id}", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", OWN)
def test_a_page_of_ours_can(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.get("/api/v1/add/1/2", headers=headers)
    assert response.status_code == 202
    assert client.get(response.headers["Location"], headers=headers).status_code == 200


def test_every_answer_has_the_headers_that_protect_it(client: FlaskClient) -> None:
    for address in ("/api/v1/jobs", "/api/v1/add/1/2", "/nope", "/healthz", "/api/v1/job/5"):
        headers = client.get(address, headers={"Origin": "http://localhost"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


def test_the_state_alone(client: FlaskClient, database: Database) -> None:
    row = factories.order_in(database, COMPLETED)
    state = json.loads(client.get(f"/api/v1/job/{row.id}/status").text)
    assert (state["jobId"], state["status"], state["attempts"]) == (row.id, "completed", 1)

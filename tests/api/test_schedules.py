"""Schedules over HTTP."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import ledger
from database import Database
from jobs import Context, registry
from ledger import fires
from models import NOTHING
from tests.api.calls import JSON, fields_of, problem
from tests.ledger.evidence import events, moves
from tests.ledger.timetable import all_due, made

PLAN = {"expression": "30 3 * * MON-FRI", "type": "add", "payload": {"num1": 1, "num2": 2}}
URL = "/api/v1/schedules/nightly"


def call(client: FlaskClient, method: str, url: str = URL, body: Any = None) -> TestResponse:
    text = None if body is None else json.dumps(body)
    return client.open(url, method=method, data=text, content_type=JSON if text else None)


def put(client: FlaskClient, url: str = URL, **fields: Any) -> TestResponse:
    return call(client, "PUT", url, {**PLAN, **fields})


def post(client: FlaskClient, **fields: Any) -> TestResponse:
    return call(client, "POST", "/api/v1/schedules", {"name": "nightly", **PLAN, **fields})


def stored(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    response = put(client, **fields)
    assert response.status_code in (200, 201), response.text
    document: dict[str, Any] = json.loads(response.text)
    return document


def test_a_schedule_is_created(client: FlaskClient) -> None:
    response = post(client, timezone="Europe/Madrid", tags=["a"], maxSilence=2.5)
    assert response.status_code == 201
    assert response.headers["Location"] == URL
    shown = json.loads(response.text)
    runs = shown.pop("nextRuns")
    created_on = shown.pop("createdOn")
    assert shown == {
        "name": "nightly",
        "expression": "30 3 * * MON-FRI",
        "timezone": "Europe/Madrid",
        "type": "add",
        "payload": {"num1": 1, "num2": 2},
        "queue": "default",
        "priority": "normal",
        "maxAttempts": 3,
        "timeout": 3600.0,
        "maxSilence": 2.5,
        "tags": ["a"],
        "owner": "",
        "enabled": True,
        "changedOn": created_on,
        "lastFire": None,
        "lastJobId": None,
        "project": None,
    }
    assert len(runs) == 5
    assert runs == sorted(runs)
    assert all(datetime.fromisoformat(one) > datetime.fromisoformat(created_on) for one in runs)
    assert call(client, "GET").text == response.text


def test_post_never_replaces(client: FlaskClient) -> None:
    post(client)
    document = problem(post(client, expression="@daily"), 409)
    assert "PUT /api/v1/schedules/nightly" in document["detail"]
    assert document["errors"][0]["pointer"] == "/name"
    assert call(client, "GET").json["expression"] == PLAN["expression"]  # type: ignore[index]


def test_put_creates_then_replaces_and_says_which(client: FlaskClient) -> None:
    first = put(client, queue="slow", priority="high", maxAttempts=9)
    assert first.status_code == 201
    assert first.headers["Location"] == URL
    again = put(client, queue="slow", priority="high", maxAttempts=9)
    assert (again.status_code, again.text) == (200, first.text)
    # What is left out goes back to its default: it is a replacement.
    other = json.loads(
        put(client, name="nightly", timeout=5, payload={"num1": 0.10, "num2": 2}).text
    )
    assert (other["queue"], other["priority"], other["maxAttempts"]) == ("default", "normal", 3)
    assert (other["timeout"], other["payload"]) == (5, {"num1": 0.1, "num2": 2})
    assert other["createdOn"] == json.loads(first.text)["createdOn"]


def test_digits_of_a_payload_are_kept(client: FlaskClient, database: Database) -> None:
    body = json.dumps(PLAN).replace('"num1": 1', '"num1": 0.10000000000000000000001')
    client.put(URL, data=body, content_type=JSON)
    assert '"num1":0.10000000000000000000001' in call(client, "GET").text


def test_put_pauses_and_a_word_less_leaves_it_so(client: FlaskClient, database: Database) -> None:
    assert stored(client, enabled=False)["nextRuns"] == []
    assert stored(client, queue="other")["enabled"] is False
    assert len(stored(client, enabled=True)["nextRuns"]) == 5
    all_due(database)
    stored(client, enabled=False)
    assert fires.fire(database, "m") == []


def test_pause_and_resume(client: FlaskClient) -> None:
    stored(client)
    for _ in range(2):
        paused = call(client, "POST", f"{URL}/pause")
        assert (paused.status_code, paused.json["enabled"]) == (200, False)  # type: ignore[index]
        assert paused.json["nextRuns"] == []  # type: ignore[index]
    resumed = call(client, "POST", f"{URL}/resume")
    assert (resumed.status_code, resumed.json["enabled"]) == (200, True)  # type: ignore[index]
    assert len(resumed.json["nextRuns"]) == 5  # type: ignore[index]


def test_delete_answers_what_was_there(client: FlaskClient) -> None:
    shown = stored(client)
    gone = call(client, "DELETE")
    assert (gone.status_code, gone.json) == (200, shown)
    problem(call(client, "GET"), 404)


@pytest.mark.parametrize(
    ("method", "suffix"),
    [("GET", ""), ("DELETE", ""), ("POST", "/run"), ("POST", "/pause"), ("POST", "/resume")],
)
def test_an_unknown_name_is_404(client: FlaskClient, method: str, suffix: str) -> None:
    document = problem(call(client, method, URL + suffix), 404)
    assert "no schedule has this name" in document["detail"]
    assert document["errors"][0]["parameter"] == "name"


def test_after_a_fire_it_says_which_order_that_was(client: FlaskClient, database: Database) -> None:
    stored(client)
    all_due(database, ms=1000)
    (fire,) = fires.fire(database, "m")
    shown = call(client, "GET").json
    assert shown["lastJobId"] == fire.order  # type: ignore[index]
    due = datetime.fromtimestamp(fire.at / 1000, datetime.fromisoformat("2000-01-01T00:00Z").tzinfo)
    assert abs(datetime.fromisoformat(shown["lastFire"]) - due) < timedelta(milliseconds=1)  # type: ignore[index]
    order = client.get(f"/api/v1/jobs/{fire.order}").json
    assert (order["schedule"], order["runAt"]) == ("nightly", shown["lastFire"])  # type: ignore[index]


def test_run_now(client: FlaskClient, database: Database) -> None:
    stored(client, queue="slow", enabled=False)
    response = call(client, "POST", f"{URL}/run")
    assert response.status_code == 202
    order = json.loads(response.text)
    assert response.headers["Location"] == f"/api/v1/job/{order['jobId']}"
    assert (order["schedule"], order["queue"], order["status"]) == ("nightly", "slow", "pending")
    assert call(client, "GET").json["lastJobId"] is None  # type: ignore[index]
    assert [one[2] for one in made(database)] == [order["jobId"]]


def test_a_key_runs_once(client: FlaskClient, database: Database) -> None:
    stored(client)
    key = {"Idempotency-Key": "k"}
    first = client.post(f"{URL}/run", headers=key)
    again = client.post(f"{URL}/run", headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json["jobId"] == again.json["jobId"]  # type: ignore[index]
    put(client, "/api/v1/schedules/other")
    problem(client.post("/api/v1/schedules/other/run", headers=key), 422)
    assert moves(database) == {(NOTHING, "pending"): 1}


@pytest.mark.parametrize(
    ("fields", "pointer", "told"),
    [
        (
            {"expression": "61 * * * *"},
            "/expression",
            "its minute, 61, is not acceptable: use 0-59",
        ),
        ({"expression": "0 0 0 * * *"}, "/expression", "there are no seconds"),
        ({"expression": "0 0 30 2 *"}, "/expression", "day-of-month"),
        ({"expression": "@reboot"}, "/expression", "use one of @hourly"),
        ({"expression": "{0} * * * *"}, "/expression", "{0}, is not acceptable: use 0-59"),
        ({"expression": 5}, "/expression", "must be a valid string"),
        ({"expression": None}, "/expression", "must be a valid string"),
        ({"expression": "*" * 201}, "/expression", "at most 200"),
        ({"timezone": "Europe/Madird"}, "/timezone", "did you mean Europe/Madrid?"),
        ({"timezone": "../../etc/passwd"}, "/timezone", "is not a time zone"),
        ({"timezone": "\0"}, "/timezone", "is not a time zone"),
        ({"timezone": "x" * 100_000}, "/timezone", "is not a time zone"),
        ({"timezone": None}, "/timezone", "must be a valid string"),
        ({"type": "ad"}, "/type", "known are"),
        ({"payload": {"num1": 1}}, "/payload/num2", "required"),
        ({"payload": []}, "/payload", "must be"),
        ({"queue": "a b"}, "/queue", "pattern"),
        ({"priority": "urgent"}, "/priority", "'high'"),
        ({"enabled": "yes"}, "/enabled", "boolean"),
        ({"timeout": 0}, "/timeout", "greater than 0"),
        ({"maxAttempts": 1.5}, "/maxAttempts", "integer"),
        ({"cron": "* * * * *"}, "/cron", "expression"),
        ({"name": "other"}, "/name", "leave it out"),
    ],
)
def test_what_is_wrong_is_named(
    client: FlaskClient, fields: dict[str, Any], pointer: str, told: str
) -> None:
    response = put(client, **fields)
    assert fields_of(response) == {pointer}
    assert told in problem(response, 422)["errors"][0]["message"]
    problem(call(client, "GET"), 404)


def test_what_is_missing_is_named(client: FlaskClient) -> None:
    found = fields_of(call(client, "POST", "/api/v1/schedules", {}))
    assert found == {"/name", "/expression", "/type", "/payload"}
    assert fields_of(call(client, "PUT", URL, {})) == {"/expression", "/type", "/payload"}


@pytest.mark.parametrize("name", ["a b", "", "x" * 65, "a/b", "\u00e9"])
def test_a_bad_name_is_named(client: FlaskClient, name: str) -> None:
    assert fields_of(post(client, name=name)) == {"/name"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_bad_name_in_the_address_is_named(client: FlaskClient, method: str) -> None:
    body = PLAN if method == "PUT" else None
    assert fields_of(call(client, method, "/api/v1/schedules/a%20b", body)) == {"name"}


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a type of job that takes a secret."""

    def login(context: Context, token: str, more: list[dict[str, str]] | None = None) -> None:
        pass

    own = registry.Registry()
    own.job("login")(login)
    monkeypatch.setitem(registry._registry._types, "login", own.get("login"))
    return "login"


def test_a_secret_is_masked_and_the_mask_is_no_secret(
    client: FlaskClient, database: Database, secretive: str
) -> None:
    secrets = {"token": "hush", "more": [{"password": "hush", "user": "***"}]}
    shown = stored(client, type=secretive, payload=secrets)
    assert shown["payload"] == {"token": "***", "more": [{"password": "***", "user": "***"}]}
    for answer in (call(client, "GET"), client.get("/api/v1/schedules")):
        assert "hush" not in answer.text
    # To send back what was shown would lose the secret.
    refused = put(client, type=secretive, payload=shown["payload"], queue="other")
    assert fields_of(refused) == {"/payload/token", "/payload/more/0/password"}
    assert "send the secret itself" in refused.text
    order = call(client, "POST", f"{URL}/run").json
    assert order["payload"]["token"] == "***"  # type: ignore[index]
    assert ledger.find(database, order["jobId"]).payload == json.dumps(  # type: ignore[index]
        secrets, separators=(",", ":")
    )


def test_the_list_is_paged_by_name(client: FlaskClient) -> None:
    for name in ("c", "a", "b"):
        assert put(client, f"/api/v1/schedules/{name}").status_code == 201
    first = client.get("/api/v1/schedules?limit=2")
    assert [one["name"] for one in first.json["items"]] == ["a", "b"]  # type: ignore[index]
    cursor = first.json["nextCursor"]  # type: ignore[index]
    assert f"cursor={cursor}" in first.headers["Link"].replace("%3D", "=")
    second = client.get("/api/v1/schedules", query_string={"limit": 2, "cursor": cursor})
    assert [one["name"] for one in second.json["items"]] == ["c"]  # type: ignore[index]
    assert second.json["nextCursor"] is None  # type: ignore[index]
    assert "Link" not in second.headers
    assert second.json["items"][0] == client.get("/api/v1/schedules/c").json  # type: ignore[index]


def test_an_empty_list(client: FlaskClient) -> None:
    assert client.get("/api/v1/schedules").json == {"items": [], "nextCursor": None}


@pytest.mark.parametrize("query", ["cursor=%00", "cursor=AAAA", "limit=0", "limit=501", "q=x"])
def test_a_bad_page_is_named(client: FlaskClient, query: str) -> None:
    assert fields_of(client.get(f"/api/v1/schedules?{query}")) == {query.partition("=")[0]}


def test_a_long_payload_is_cut_in_a_list(client: FlaskClient) -> None:
    stored(client, type="fail", payload={"message": "x" * 5_000})
    (item,) = client.get("/api/v1/schedules").json["items"]  # type: ignore[index]
    assert item["payload"]["truncated"] is True
    assert call(client, "GET").json["payload"] == {"message": "x" * 5_000}  # type: ignore[index]


def test_other_sites_change_nothing(client: FlaskClient, database: Database) -> None:
    headers = {"Origin": "http://evil.example"}
    problem(client.put(URL, json=PLAN, headers=headers), 403)
    assert events(database) == []
    stored(client)
    for method, suffix in (("DELETE", ""), ("POST", "/run"), ("POST", "/pause")):
        problem(client.open(URL + suffix, method=method, headers=headers), 403)
    assert made(database) == []

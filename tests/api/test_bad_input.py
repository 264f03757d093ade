"""Whatever a client sends: the right refusal, naming the field, and never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

import ledger
from database import Database
from tests.api.calls import JSON, NOBODY, SUM, fields_of, problem, submit, submitted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"type":"add","payload":{}} x',
        b'"\xff"',
        '{"type":"add","payload":{"num1":NaN,"num2":1}}',
        '{"type":"add","payload":{"num1":-Infinity,"num2":1}}',
        '{"type":"add","payload":{"num1":1e99999999999999999999,"num2":1}}',
        '{"type":"add","payload":{"num1":' + "9" * 5000 + ',"num2":1}}',
        '{"type":"add","payload":{"a":' + "[" * 200_000 + "]" * 200_000 + "}}",
        '{"type":"add","payload":{"a":' + "[" * 101 + "]" * 101 + "}}",
    ],
)
def test_what_is_not_json_is_400(client: FlaskClient, text: str | bytes) -> None:
    problem(submit(client, text), 400)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"type":"add","type":"sleep","payload":{"num1":1,"num2":2}}', "type"),
        ('{"type":"add","payload":{"num1":1,"num2":2,"num1":1}}', "num1"),
        ('{"type":"add","payload":{"num1":{"a":1,"\\u0061":2},"num2":2}}', "a"),
    ],
)
def test_a_name_that_is_given_twice_is_400(
    client: FlaskClient, database: Database, text: str, name: str
) -> None:
    assert f'"{name}" 2 times' in problem(submit(client, text), 400)["detail"]
    batch = client.post("/api/v1/jobs/bulk", data=f"[{text}]", content_type=JSON)
    assert f'"{name}" 2 times' in problem(batch, 400)["errors"][0]["message"]
    assert ledger.levels(database).by_status == {}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_is_not_said_to_be_json_is_415(client: FlaskClient, kind: str | None) -> None:
    problem(client.post("/api/v1/jobs", data="{}", content_type=kind), 415)


@pytest.mark.parametrize("text", ["[]", "null", "3", "true", json.dumps(json.dumps(SUM))])
def test_a_body_that_is_no_object_is_422(client: FlaskClient, text: str) -> None:
    assert fields_of(submit(client, text)) == {""}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/type", "/payload"}),
        ({**SUM, "typ": 1}, {"/typ"}),
        ({**SUM, "payload": []}, {"/payload"}),
        ({**SUM, "payload": {}}, {"/payload/num1", "/payload/num2"}),
        ({**SUM, "payload": {"num1": 1, "num2": 2, "num3": 3}}, {"/payload/num3"}),
        ({**SUM, "payload": {"num1": "1", "num2": True}}, {"/payload/num1", "/payload/num2"}),
        ({**SUM, "type": "nope"}, {"/type"}),
        ({**SUM, "type": "x" * 10_000}, {"/type"}),
        ({**SUM, "type": 5}, {"/type"}),
        ({**SUM, "type": "\ud800"}, {"/type"}),
        ({**SUM, "type": "\0"}, {"/type"}),
        ({**SUM, "queue": "a b"}, {"/queue"}),
        ({**SUM, "queue": "*"}, {"/queue"}),
        ({**SUM, "queue": ""}, {"/queue"}),
        ({**SUM, "queue": "."}, {"/queue"}),
        ({**SUM, "queue": ".."}, {"/queue"}),
        ({**SUM, "priority": "urgent"}, {"/priority"}),
        ({**SUM, "priority": 1}, {"/priority"}),
        ({**SUM, "maxAttempts": 0}, {"/maxAttempts"}),
        ({**SUM, "maxAttempts": 1001}, {"/maxAttempts"}),
        ({**SUM, "maxAttempts": 5.5}, {"/maxAttempts"}),
        ({**SUM, "timeout": 0}, {"/timeout"}),
        ({**SUM, "delay": -1}, {"/delay"}),
        ({**SUM, "delay": 5, "runAt": "2030-01-31T12:00:00Z"}, {"/delay"}),
        ({**SUM, "tags": ["ok", ""]}, {"/tags/1"}),
        ({**SUM, "tags": ["\udfff"]}, {"/tags/0"}),
        ({**SUM, "tags": "a"}, {"/tags"}),
        ({**SUM, "callbackUrl": "ftp://x"}, {"/callbackUrl"}),
        ({**SUM, "callbackUrl": "http://[::1"}, {"/callbackUrl"}),
        ({**SUM, "callbackUrl": "http://a:99999/"}, {"/callbackUrl"}),
        ({**SUM, "callbackUrl": "http://:80/"}, {"/callbackUrl"}),
        ({**SUM, "callbackUrl": "http://ana:secret@example.org/"}, {"/callbackUrl"}),
        ({**SUM, "\ud800": 1}, {""}),
        ({**SUM, "a/b~c": 1}, {"/a~1b~0c"}),
    ],
)
def test_a_bad_field_is_named(client: FlaskClient, body: Any, pointers: set[str]) -> None:
    assert fields_of(submit(client, body)) == pointers


@pytest.mark.parametrize("field", ["maxAttempts", "timeout", "delay", "maxSilence"])
@pytest.mark.parametrize(
    "number", ["true", '"5"', "1e400", "1e999999999", "9" * 400, "null1", "[5]"]
)
def test_a_number_must_be_one(client: FlaskClient, field: str, number: str) -> None:
    if number == "null1":
        problem(submit(client, json.dumps(SUM)[:-1] + f',"{field}":null1}}'), 400)
        return
    text = json.dumps(SUM)[:-1] + f',"{field}":{number}}}'
    assert fields_of(submit(client, text)) == {f"/{field}"}


@pytest.mark.parametrize("field", ["maxAttempts", "timeout", "delay", "maxSilence"])
@pytest.mark.parametrize("number", ["5", "5.0", "5e0", "null"])
def test_an_integer_may_be_written_as_a_float(client: FlaskClient, field: str, number: str) -> None:
    text = json.dumps(SUM)[:-1] + f',"{field}":{number}}}'
    assert submit(client, text).status_code == 202


@pytest.mark.parametrize(
    "time",
    [
        *(5, "5", "1700000000", "2026-01-31", "2026-01-31T12:00:00", True, "now"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00", "2026-13-01T00:00:00Z"),
    ],
)
def test_a_time_must_be_one(client: FlaskClient, time: Any) -> None:
    assert fields_of(submit(client, {**SUM, "runAt": time})) == {"/runAt"}


def test_the_last_of_all_times_is_kept(client: FlaskClient) -> None:
    order_id = submitted(client, runAt="9999-12-31T23:59:59.999Z")
    shown = client.get(f"/api/v1/jobs/{order_id}").json["runAt"]  # type: ignore[index]
    assert shown == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "2020-02-29T23:59:59.999+14:00"])
def test_a_time_that_is_past_counts_as_now(client: FlaskClient, time: str) -> None:
    answer = submit(client, {**SUM, "runAt": time})
    order = client.get(answer.headers["Location"]).json
    assert order["runAt"] == order["createdOn"] == answer.json["runAt"]  # type: ignore[index]


def test_an_unknown_type_is_told_the_known_ones(client: FlaskClient) -> None:
    (error,) = problem(submit(client, {**SUM, "type": "nope"}), 422)["errors"]
    known = error["message"].partition("known are ")[2].split(", ")
    assert {"add", "fail", "github", "http", "sleep"} <= set(known)
    assert known == sorted(known)


def test_what_is_echoed_is_cut(client: FlaskClient) -> None:
    long = "x" * 100_000
    assert len(submit(client, {**SUM, "type": long}).text) < 1_000
    assert len(submit(client, {**SUM, long: 1}).text) < 1_000
    assert len(submit(client, {**SUM, "payload": {long: 1}}).text) < 2_000
    assert len(client.get(f"/api/v1/job/{long}").text) < 1_000
    assert len(client.get(f"/api/v1/jobs?{long}=1").text) < 1_000


def test_a_body_over_its_limit_is_413(client: FlaskClient) -> None:
    text = json.dumps({**SUM, "payload": {"x": "y" * (1 << 20)}})
    problem(submit(client, text), 413)
    too_large = b" " * ((32 << 20) + 1)
    problem(client.post("/api/v1/jobs/bulk", data=too_large, content_type=JSON), 413)


def test_exponents_cannot_blow_a_body_up(client: FlaskClient, database: Database) -> None:
    numbers = ",".join(["1e4000"] * 10_000)
    body = f'{{"type":"add","payload":{{"num1":[{numbers}],"num2":1}}}}'
    assert fields_of(submit(client, body)) == {""}
    assert ledger.levels(database).by_status == {}


@pytest.mark.parametrize("body", ["{}", "[]", "[5]", "[null]"])
def test_a_batch_is_an_array_of_orders(client: FlaskClient, body: str) -> None:
    response = client.post("/api/v1/jobs/bulk", data=body, content_type=JSON)
    problem(response, 422)


def test_a_batch_names_the_index(client: FlaskClient) -> None:
    orders = [SUM, {**SUM, "typ": 1}, {**SUM, "payload": 5}]
    assert fields_of(client.post("/api/v1/jobs/bulk", json=orders)) == {"/1/typ", "/2/payload"}


def test_a_batch_has_a_length(client: FlaskClient) -> None:
    assert fields_of(client.post("/api/v1/jobs/bulk", json=[SUM] * 10_001)) == {""}


@pytest.mark.parametrize(
    "number",
    ["1e5", "nan", "inf", "x", "1.", ".5", "0x1", "\uff11", "--1", "1_0", "%201", "1%00", "%ff"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_sum_of_no_numbers_is_422(client: FlaskClient, method: str, number: str) -> None:
    response = client.open(f"/api/v1/add/{number}/2", method=method)
    assert fields_of(response) == {"num1"}
    assert fields_of(client.open(f"/api/v1/add/{number}/{number}", method=method)) == {
        "num1",
        "num2",
    }


@pytest.mark.parametrize("door", ["/api/v1/job/{}", "/api/v1/jobs/{}", "/tasks/{}"])
@pytest.mark.parametrize("order_id", [NOBODY, "5", "x" * 36, "%00", "%ed%a0%80", "é"])
def test_an_unknown_id_is_404(client: FlaskClient, door: str, order_id: str) -> None:
    assert fields_of(client.get(door.format(order_id)), 404) == {"id"}


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_an_unknown_id_cannot_be_moved(client: FlaskClient, action: str) -> None:
    problem(client.post(f"/api/v1/jobs/{NOBODY}/{action}"), 404)
    problem(client.delete(f"/api/v1/jobs/{NOBODY}"), 404)


@pytest.mark.parametrize(
    "query",
    [
        *("foo=1", "status=x", "status=pending,pending,x", "priority=urgent", "limit=0"),
        *("limit=501", "limit=x", "limit=1_0", "limit=5.0", "limit=", "createdAfter=5"),
        *("createdAfter=", "createdBefore=2026-01-31", "cursor=x", "cursor=%00", "cursor=é"),
        *("q=", "limit=1&limit=2", "type=a&type=b", "tag=", "type="),
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, query: str) -> None:
    for door in ("/api/v1/jobs", "/tasks"):
        assert fields_of(client.get(f"{door}?{query}")) == {query.partition("=")[0]}


@pytest.mark.parametrize("wait", ["x", "-1", "25.1", "26", "nan", "inf", "1e1", "", "1&wait=2"])
def test_a_bad_wait_is_named(client: FlaskClient, wait: str) -> None:
    assert fields_of(client.get(f"/api/v1/job/{submitted(client)}?wait={wait}")) == {"wait"}


def test_parameters_where_there_are_none_are_refused(client: FlaskClient) -> None:
    order_id = submitted(client)
    for method, address in (
        ("GET", "/api/v1/add/1/2"),
        ("POST", "/api/v1/jobs"),
        ("GET", f"/api/v1/jobs/{order_id}"),
        ("GET", f"/api/v1/job/{order_id}/status"),
        ("POST", f"/api/v1/jobs/{order_id}/cancel"),
        ("GET", "/api/v1/metrics"),
        ("GET", "/api/v1/types"),
    ):
        assert fields_of(client.open(f"{address}?x=1", method=method)) == {"x"}


def test_nothing_at_an_address_is_404_and_a_wrong_method_405(client: FlaskClient) -> None:
    problem(client.get("/nope"), 404)
    response = client.delete("/api/v1/jobs")
    problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "a\0b",
        "\ud800",
        "\udfff\ud800",
        "\U0001f600",
        "\u202e",
        "'; DROP TABLE job_order",
        "%s",
    ],
)
def test_hostile_text_is_kept_as_it_is(client: FlaskClient, text: str) -> None:
    body = {"type": "fail", "payload": {"message": text}}
    response = submit(client, body)
    assert response.status_code == 202
    order_id = response.json["jobId"]  # type: ignore[index]
    for address in (f"/api/v1/job/{order_id}", f"/api/v1/jobs/{order_id}"):
        assert client.get(address).json["payload"] == {"message": text}  # type: ignore[index]
    if "\ud800" in text:  # no URL can hold it
        return
    found = client.get("/api/v1/jobs", query_string={"q": text}).json["items"]  # type: ignore[index]
    assert [order["jobId"] for order in found] == [order_id]


@pytest.mark.parametrize("name", ["type", "queue", "worker", "owner"])
def test_no_name_has_a_nul(client: FlaskClient, name: str) -> None:
    assert fields_of(client.get(f"/api/v1/jobs?{name}=a%00")) == {name}


@pytest.mark.parametrize("name", ["type", "queue", "worker", "tag", "owner", "q"])
@pytest.mark.parametrize("value", ["%ff", "%ed%a0%80", "%F0%9F%98%80", "'", "%25", "%5C"])
def test_hostile_filters_find_nothing(client: FlaskClient, name: str, value: str) -> None:
    submitted(client)
    response = client.get(f"/api/v1/jobs?{name}={value}")
    assert response.status_code == 200
    assert response.json["items"] == []  # type: ignore[index]

"""The description of the API: every route is in it, with its errors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from submissions import offered
from tests.api.calls import problem

# The parts of a page are no operations.
PARTS = {"static", "docs.file", "dashboard.asset"}

ERRORS = {
    "read": {"422", "500", "503"},
    "write": {"403", "422", "500", "503"},
    "take": {"400", "403", "413", "415", "422", "500", "503"},
}


def test_every_route_is_described_and_nothing_else(app: Flask, client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    described = {
        (path, method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in PARTS
    }
    assert described == served


@pytest.mark.parametrize(
    ("method", "path", "kind", "more"),
    [
        ("get", "/api/v1/add/{num1}/{num2}", "write", {"200", "202", "404", "409"}),
        ("get", "/api/v1/job/{id}", "write", {"200", "304", "404"}),
        ("get", "/api/v1/job/{id}/status", "read", {"200", "404"}),
        ("get", "/api/v1/job/{id}/result", "write", {"200", "404", "409"}),
        ("get", "/api/v1/jobs", "read", {"200"}),
        ("post", "/api/v1/jobs", "take", {"200", "202", "409"}),
        ("post", "/api/v1/jobs/bulk", "take", {"200", "202", "409"}),
        ("delete", "/api/v1/jobs/{id}", "write", {"200", "404", "409"}),
        ("put", "/api/v1/schedules/{name}", "take", {"200", "201", "404"}),
        ("get", "/readyz", "read", {"200"}),
    ],
)
def test_an_operation_names_every_status_that_it_can_answer(
    client: FlaskClient, method: str, path: str, kind: str, more: set[str]
) -> None:
    document: Any = client.get("/openapi.json").json
    operation = document["paths"][path][method]
    expected = ERRORS[kind] | more
    if path == "/readyz":  # whoever watches over a process may add what it likes to the address
        expected = expected - {"422"}
    assert set(operation["responses"]) == expected


def test_every_error_is_a_problem_and_every_answer_names_its_request(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            ids.append(operation["operationId"])
            assert operation["summary"], where
            for status, response in operation["responses"].items():
                assert "X-Request-Id" in response["headers"], where
                if status >= "400":
                    (kind,) = response["content"].items()
                    assert kind[0] == "application/problem+json", where
                    assert kind[1]["schema"]["$ref"].endswith("/Problem"), where
    assert len(set(ids)) == len(ids)


def test_what_may_be_asked_next_is_there(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    every = [one for path in document["paths"].values() for one in path.values()]
    known = {operation["operationId"] for operation in every}
    links = [
        link["operationId"]
        for operation in every
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    assert set(links) <= known


def test_a_submit_shows_the_payload_of_each_type(client: FlaskClient) -> None:
    schemas: Any = client.get("/openapi.json").json["components"]["schemas"]  # type: ignore[index]
    assert set(schemas["JobSubmission"]["discriminator"]["mapping"]) == set(offered.names())
    assert schemas["JobSubmission.sleep"]["properties"]["payload"]["required"] == ["seconds"]


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.content_type == "text/html; charset=utf-8"
    assert "//" not in page.text.replace("<!doctype html>", "")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "<script>" not in page.text
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        answer = client.get(address)
        assert (answer.status_code, len(answer.data) > 50) == (200, True), address
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer.close()
    problem(client.get("/docs/other.js"), 404)


def test_references_lead_somewhere(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    references = set(
        re.findall(r'"\$ref":\s*"#/components/schemas/(\w+)"', client.get("/openapi.json").text)
    )
    assert references <= set(document["components"]["schemas"])
    assert {"JobOrder", "JobSubmission", "Problem", "Metrics"} <= references


def test_the_parameters_are_named_as_clients_write_them(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    names = {one["name"] for one in document["paths"]["/api/v1/jobs"]["get"]["parameters"]}
    assert names == {
        *("status", "type", "queue", "priority", "worker", "tag", "owner", "createdAfter"),
        *("createdBefore", "q", "limit", "cursor"),
    }

"""The description of the API: every route is in it, with its errors."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

PLAIN = {"/healthz", "/readyz", "/openapi.json"}


def test_every_route_is_described(app: Flask, client: FlaskClient) -> None:
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
        if rule.endpoint != "static"
    }
    assert described == served


def test_every_operation_says_what_it_answers(client: FlaskClient) -> None:
    document: Any = client.get("/openapi.json").json
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            responses = operation["responses"]
            assert {"200", "201", "202"} & set(responses), where
            for status in ("400", "403", "404", "409", "413", "415", "422", "429", "500", "503"):
                (kind,) = responses[status]["content"].items()
                assert kind[0] == "application/problem+json", where
                assert kind[1]["schema"]["$ref"].endswith("/Problem"), where


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

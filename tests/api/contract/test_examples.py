"""The examples in the OpenAPI document run, and the answers are as it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.schemas import EXAMPLE_ID
from database import Database
from ledger import bulk
from ledger.matching import Filter
from models import CANCELLED, COMPLETED, PENDING
from settings import Settings
from tests import factories
from tests.api.calls import JSON

PLAN = {"expression": "@daily", "type": "add", "payload": {"num1": 1, "num2": 2}}
PROJECT = {"url": "https://github.com/capataz/reports"}
NAME = "nightly"

# What an operation needs an order to be; the others need one that waits.
NEEDS = {
    "job_get_result": COMPLETED,
    "jobs_retry": CANCELLED,
    "jobs_delete": CANCELLED,
}


def operations() -> list[Any]:
    app: Flask = create_app(Settings(), Database("sqlite:///never-opened.db"))
    document = json.loads(app.test_client().get("/openapi.json").text)
    return [
        pytest.param(method, path, operation, id=operation["operationId"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        # It never ends by itself, and has tests of its own.
        if path != "/api/v1/stream"
    ]


def example(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """The examples of a schema, of what it leads to, or of its choices."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "examples" in schema:
        return schema["examples"]
    if schema.get("type") == "array":
        return [example(schema["items"], document)]
    return [one for choice in schema.get("oneOf", ()) for one in example(choice, document)]


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_the_examples_of_an_operation_run(
    client: FlaskClient, database: Database, method: str, path: str, operation: dict[str, Any]
) -> None:
    document = json.loads(client.get("/openapi.json").text)
    if "/actions/" in path:
        bulk.create(database, EXAMPLE_ID, bulk.CANCEL, Filter(), dry_run=True, owner="")
    elif "{id}" in path:
        status = NEEDS.get(operation["operationId"], PENDING)
        factories.order_in(database, status, id=EXAMPLE_ID)
    if "schedules/{name}" in path:
        client.post("/api/v1/schedules", json=PLAN | {"name": NAME})
    if "projects/{name}" in path:
        client.post("/api/v1/projects", json=PROJECT | {"name": "reports"})
    address = path
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            (value, *_) = parameter["schema"]["examples"]
            address = address.replace("{" + parameter["name"] + "}", value)
    bodies: list[Any] = [None]
    if "requestBody" in operation:
        bodies = example(operation["requestBody"]["content"][JSON]["schema"], document)
        assert bodies, "no example of the body"
    contract = schemathesis.openapi.from_wsgi("/openapi.json", client.application)[path][method]
    for body in bodies:
        given: Any = {} if body is None else {"data": json.dumps(body), "content_type": JSON}
        response = client.open(address, method=method.upper(), **given)
        assert response.status_code in (200, 201, 202), response.text
        contract.validate_response(schemathesis.Response.from_any(response))

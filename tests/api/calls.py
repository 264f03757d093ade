"""Calls that many tests of the API make."""

from __future__ import annotations

import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

JSON = "application/json"
SUM = {"type": "add", "payload": {"num1": 1, "num2": 2}}
NOBODY = "0190a0b0-0000-7000-8000-000000000001"


def submit(client: FlaskClient, body: Any = SUM, **headers: str) -> TestResponse:
    """POST an order: a value, or JSON text as it is."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/api/v1/jobs", data=text, content_type=JSON, headers=named)


def submitted(client: FlaskClient, **fields: Any) -> str:
    """The id of a new sum."""
    response = submit(client, {**SUM, **fields})
    assert response.status_code == 202, response.text
    return str(response.json["jobId"])  # type: ignore[index]


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be one of this status."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = json.loads(response.text)
    assert set(document) == {"type", "title", "status", "detail", "errors", "requestId"}
    assert document["status"] == status
    assert document["requestId"] == response.headers["X-Request-Id"]
    assert "Traceback" not in response.text
    return document


def fields_of(response: TestResponse, status: int = 422) -> set[str]:
    """The pointers and parameters that a refusal names."""
    errors = problem(response, status)["errors"]
    assert all(error["message"] for error in errors)
    return {error.get("pointer", error.get("parameter")) for error in errors}

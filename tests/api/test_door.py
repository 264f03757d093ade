"""What every answer carries, and what every request may say of itself."""

from __future__ import annotations

import logging

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient

from tests.api.calls import NOBODY, problem, submitted

PLACES = ["/healthz", "/api/v1/jobs", f"/api/v1/job/{NOBODY}", "/nowhere", "/openapi.json"]


@pytest.mark.parametrize("path", PLACES)
def test_every_answer_is_guarded(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", PLACES)
def test_every_answer_names_its_request(client: FlaskClient, path: str) -> None:
    first, second = (client.get(path).headers["X-Request-Id"] for _ in range(2))
    assert first != second
    assert len(first) == 16
    mine = {"X-Request-Id": "import-7:a.b_c"}
    assert client.get(path, headers=mine).headers["X-Request-Id"] == "import-7:a.b_c"


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a\tb", "é", '"><script>'])
def test_a_name_that_is_not_plain_is_replaced(client: FlaskClient, name: str) -> None:
    response = client.get("/nowhere", headers={"X-Request-Id": name})
    assert problem(response, 404)["requestId"] != name
    assert len(response.headers["X-Request-Id"]) == 16


def test_what_is_logged_names_its_request_and_nothing_else_does(
    app: Flask, client: FlaskClient
) -> None:
    seen: list[object] = []

    class Listener(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            seen.append(structlog.contextvars.get_contextvars().get("request_id"))

    @app.before_request
    def speak() -> None:
        logging.getLogger("capataz.api").warning("something")

    listener = Listener()
    logging.getLogger("capataz.api").addHandler(listener)
    try:
        client.get("/healthz", headers={"X-Request-Id": "mine"})
        logging.getLogger("capataz.api").warning("between requests")
    finally:
        logging.getLogger("capataz.api").removeHandler(listener)
    assert seen == ["mine", None]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/add/1/2", {"GET", "POST", "OPTIONS"}),
        ("/api/v1/jobs/bulk", {"POST", "OPTIONS"}),
        ("/api/v1/jobs/count", {"GET", "HEAD", "OPTIONS"}),
        (f"/api/v1/jobs/{NOBODY}", {"GET", "HEAD", "DELETE", "OPTIONS"}),
    ],
)
def test_an_address_takes_the_methods_that_it_says(
    client: FlaskClient, path: str, methods: set[str]
) -> None:
    allowed = client.options(path).headers["Allow"]
    assert set(allowed.split(", ")) == methods
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"} - methods:
        response = client.open(path, method=method)
        assert response.status_code == 405, method
        assert set(response.headers["Allow"].split(", ")) == methods


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_no_page_of_another_site_makes_anything_move(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    order_id = submitted(client)
    for path in ("/api/v1/add/1/2", f"/api/v1/job/{order_id}", f"/api/v1/job/{order_id}/result"):
        problem(client.get(path, headers=headers), 403)
    for path in ("/api/v1/pause", "/api/v1/jobs/actions", f"/api/v1/jobs/{order_id}/cancel"):
        problem(client.post(path, headers=headers, json={}), 403)
    assert client.get("/api/v1/jobs", headers=headers).status_code == 200

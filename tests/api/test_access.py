"""Who may use which route: requests made from the table, for every route and every role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

import ledger
from api import create_app
from api.access import NOBODY, OPEN, TABLE, roles_for
from api.queries import find_page
from database import Database
from ledger import bulk
from ledger.matching import Filter
from ledger.tokens import CUSTOMER, ROLES
from models import CANCELLED
from settings import Settings
from tests import factories
from tests.api.calls import JSON, SUM, problem
from tests.api.tokens import caller, guarded_app

NO_ROUTE_OF_OURS = {"static"}
PLAN = {"expression": "@daily", "type": "add", "payload": {"num1": 1, "num2": 2}}
PROJECT = {"url": "https://github.com/ana/sums"}
BODIES: dict[str, Any] = {
    "jobs.submit": SUM,
    "jobs.submit_batch": [SUM],
    "actions.start": {"action": "cancel", "filter": {"type": "nothing"}},
    "schedules.create": PLAN | {"name": "another"},
    "schedules.put": PLAN,
    "projects.create": PROJECT | {"name": "another"},
    "projects.put": PROJECT,
    "projects.put_schedule": {"expression": "@daily"},
}
# What an order must be for what is done to it.
NEEDS = {"jobs.retry": CANCELLED, "jobs.delete": CANCELLED}


def routes() -> list[tuple[str, Rule]]:
    """Every route with each of its methods."""
    app = create_app(Settings(), Database("sqlite:///never-opened.db"))
    return [
        (method, rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in NO_ROUTE_OF_OURS
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


@pytest.fixture
def guarded(database: Database) -> Iterator[Flask]:
    with guarded_app(database) as app:
        yield app


def ask(
    client: FlaskClient, database: Database, method: str, rule: Rule, owner: str
) -> TestResponse:
    """One request of this route, about what this owner has."""
    given: dict[str, str] = {"num1": "1", "num2": "2"}
    if rule.endpoint == "actions.get":
        given["id"] = ledger.new_id()
        bulk.create(database, given["id"], "cancel", Filter(), dry_run=True, owner=owner)
    elif "id" in rule.arguments or rule.endpoint == "events.list_events":
        given["id"] = factories.submit(database, owner=owner)
        if NEEDS.get(rule.endpoint) == CANCELLED:
            ledger.cancel(database, given["id"])
    if "name" in rule.arguments:
        given["name"] = "swagger.svg" if rule.endpoint == "docs.file" else "nightly"
    path = re.sub(r"<(\w+)>", lambda found: given[found[1]], rule.rule)
    if rule.endpoint == "events.list_events":
        path += f"?job={given['id']}"
    if rule.endpoint == "job.get_result":
        (claimed,) = factories.claim(database)
        ledger.finish(database, factories.MANAGER, [factories.ending(claimed)])
    if rule.endpoint in BODIES:
        return client.open(path, method=method, json=BODIES[rule.endpoint], content_type=JSON)
    return client.open(path, method=method)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {rule.endpoint for _, rule in routes()} == set(TABLE)
    assert roles_for("no.such_route") == NOBODY


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_table_says_and_nothing_else(
    guarded: Flask, database: Database, role: str
) -> None:
    operator = caller(guarded, database, "root", "operator")
    client = caller(guarded, database, "me", role)
    for method, rule in routes():
        for order_id in list_pending(database):
            ledger.cancel(database, order_id)
        if "schedules" in rule.rule:
            operator.delete("/api/v1/schedules/another")
            operator.put("/api/v1/schedules/nightly", json=PLAN)
        if "projects" in rule.rule:
            operator.delete("/api/v1/schedules/nightly")
            operator.delete("/api/v1/projects/another")
            operator.put("/api/v1/projects/nightly", json=PROJECT)
        response = ask(client, database, method, rule, "me")
        where = f"{role}: {method} {rule.rule}: {response.status_code}"
        allowed = TABLE[rule.endpoint]
        if allowed is OPEN or role in allowed:
            # Whether there is a file of the dashboard depends on its build.
            assert response.status_code in (200, 201, 202) or "assets" in rule.rule, where
            assert response.status_code not in (401, 403), where
        else:
            assert role in problem(response, 403)["detail"], where
        response.close()


def list_pending(database: Database) -> list[str]:
    return [row.id for row in find_page(database, Filter(status=("pending",)), 500, None).rows]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer cap_",
        "Bearer cap_0123456789ab_" + 64 * "0",
        "Basic cm9vdDpyb290",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "cap_0123456789ab_" + 64 * "0",
    ],
)
def test_without_a_token_nothing_but_the_open_routes_answers(
    guarded: Flask, database: Database, header: str | None
) -> None:
    client = guarded.test_client()
    if header is not None:
        client.environ_base["HTTP_AUTHORIZATION"] = header
    some = [one for one in routes() if header is None or one[1].endpoint == "jobs.count"]
    for method, rule in some:
        response = ask(client, database, method, rule, "me")
        if TABLE[rule.endpoint] is OPEN:
            assert response.status_code == 200 or "assets" in rule.rule
        else:
            told = problem(response, 401)["detail"]
            assert "manage.py token create" in told, rule.rule
            assert response.headers["WWW-Authenticate"].startswith('Bearer realm="capataz"')
            assert ("invalid_token" in response.headers["WWW-Authenticate"]) == (header is not None)
        response.close()


def test_what_a_customer_does_not_own_is_not_there_for_it(
    guarded: Flask, database: Database
) -> None:
    customer = caller(guarded, database, "me", CUSTOMER)
    nobody = ledger.new_id()
    asked = 0
    for method, rule in routes():
        allowed = TABLE[rule.endpoint]
        if "id" not in rule.arguments or allowed is OPEN or CUSTOMER not in allowed:
            continue
        asked += 1
        strange = ask(customer, database, method, rule, "somebody")
        unknown = customer.open(rule.rule.replace("<id>", nobody), method=method)
        told, never = problem(strange, 404), problem(unknown, 404)
        for document in (told, never):
            document.pop("requestId")
            document["detail"] = document["detail"].partition(": ")[2]
        assert told == never, rule.rule
        for order_id in list_pending(database):
            ledger.cancel(database, order_id)
    assert asked >= 9


def test_addresses_that_do_not_exist_say_so_to_anybody(guarded: Flask) -> None:
    problem(guarded.test_client().get("/nowhere"), 404)
    problem(guarded.test_client().post("/api/v1/metrics"), 405)
    problem(guarded.test_client().open("/api/v1/jobs", method="OPTIONS"), 401)

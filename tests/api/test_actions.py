"""Acting on all orders that match: the door to it, with a manager's duty behind it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from database import Database
from manager.bulk import BulkActions
from models import CANCELLED, PENDING
from tests.api.calls import NOBODY, fields_of, problem, submitted

ACTIONS = "/api/v1/jobs/actions"


def work_off(database: Database) -> list[str]:
    """Let a manager do it; what it told others meanwhile."""
    told: list[str] = []
    duty = BulkActions(database, "m", lambda: told.append("work"), lambda: told.append("cancel"))
    duty.tick()
    return told


def test_an_action_is_accepted_worked_off_and_asked_after(
    client: FlaskClient, database: Database
) -> None:
    here = [submitted(client, queue="naps") for _ in range(3)]
    there = submitted(client)
    response = client.post(ACTIONS, json={"action": "cancel", "filter": {"queue": "naps"}})
    assert response.status_code == 202, response.text
    first: Any = response.json
    assert response.headers["Location"] == f"{ACTIONS}/{first['actionId']}"
    assert response.headers["Retry-After"] == "1"
    assert (first["state"], first["total"], first["done"]) == ("counting", 0, 0)
    assert work_off(database) == ["cancel"]
    answer = client.get(response.headers["Location"])
    after: Any = answer.json
    assert (after["state"], after["total"], after["done"]) == ("done", 3, 3)
    assert after["endedOn"] is not None
    assert "Retry-After" not in answer.headers
    for order_id in here:
        assert client.get(f"/api/v1/jobs/{order_id}").json["status"] == CANCELLED  # type: ignore[index]
    assert client.get(f"/api/v1/jobs/{there}").json["status"] == PENDING  # type: ignore[index]


def test_a_dry_run_moves_nothing(client: FlaskClient, database: Database) -> None:
    order_id = submitted(client)
    body = {"action": "cancel", "filter": {"status": ["pending"]}, "dryRun": True}
    place = client.post(ACTIONS, json=body).headers["Location"]
    assert work_off(database) == []
    after: Any = client.get(place).json
    assert (after["state"], after["total"], after["done"]) == ("done", 1, 0)
    assert client.get(f"/api/v1/jobs/{order_id}").json["status"] == PENDING  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"/action", "/filter"}),
        ({"action": "cancel"}, {"/filter"}),
        ({"action": "pause", "filter": {}}, {"/action"}),
        ({"action": "cancel", "filter": {"stauts": []}}, {"/filter/stauts"}),
        ({"action": "cancel", "filter": {"status": "pending"}}, {"/filter/status"}),
        ({"action": "cancel", "filter": {}, "dryRun": 1}, {"/dryRun"}),
        ({"action": "cancel", "filter": {"createdAfter": "today"}}, {"/filter/createdAfter"}),
    ],
)
def test_a_bad_action_is_refused(client: FlaskClient, body: Any, fields: set[str]) -> None:
    assert fields_of(client.post(ACTIONS, json=body)) == fields


@pytest.mark.parametrize("action_id", [NOBODY, "x"])
def test_an_unknown_action(client: FlaskClient, action_id: str) -> None:
    problem(client.get(f"{ACTIONS}/{action_id}"), 404)

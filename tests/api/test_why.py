"""Why an order does not run, over HTTP and as text."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient

import ledger
from api import why_presenter
from database import Database
from ledger.why import explain
from models import COMPLETED
from tests import factories
from tests.api.calls import NOBODY, problem, submitted
from tests.ledger.troubles import manager


def why(client: FlaskClient, order: str) -> Any:
    response = client.get(f"/api/v1/jobs/{order}/why")
    assert response.status_code == 200, response.text
    return response.json


def test_each_reason_has_a_code_a_sentence_a_remedy_and_facts(
    client: FlaskClient, database: Database
) -> None:
    manager(database)
    order = submitted(client, queue="images")
    ledger.pause(database, "images")
    answer = why(client, order)
    assert (answer["jobId"], answer["status"]) == (order, "pending")
    assert answer["checkedOn"].endswith("Z")
    (reason,) = answer["reasons"]
    assert reason.pop("message").startswith("queue images is paused, for ")
    assert reason.pop("since") <= answer["checkedOn"]
    assert reason == {
        "code": "queue_paused",
        "remedy": "POST /api/v1/queues/images/resume",
        "queue": "images",
    }


def test_facts_are_named_like_all_else(client: FlaskClient, database: Database) -> None:
    order = submitted(client, delay=3600)
    none, later = why(client, order)["reasons"]
    assert (none["code"], later["code"]) == ("no_manager", "starts_later")
    assert later["dueOn"] == client.get(f"/api/v1/jobs/{order}").json["runAt"]  # type: ignore[index]
    assert 3_590_000 < later["dueInMs"] <= 3_600_000


def test_asking_retrieves_nothing(client: FlaskClient, database: Database) -> None:
    row = factories.order_in(database, COMPLETED)
    assert [one["code"] for one in why(client, row.id)["reasons"]] == ["completed"]
    assert ledger.find(database, row.id).status == COMPLETED


def test_no_such_order(client: FlaskClient, database: Database) -> None:
    row = factories.order_in(database, COMPLETED)
    ledger.delete(database, row.id)
    for order in (row.id, NOBODY, "x"):
        problem(client.get(f"/api/v1/jobs/{order}/why"), 404)


def test_no_secret_of_the_payload_is_told(client: FlaskClient, database: Database) -> None:
    manager(database)
    order = factories.submit(database, payload='{"password":"hunter2"}')
    factories.submit(database, payload='{"password":"hunter2"}')
    assert "hunter2" not in client.get(f"/api/v1/jobs/{order}/why").text


def test_the_same_for_a_terminal(database: Database) -> None:
    order = factories.submit(database, delay_ms=3_600_000)
    ledger.pause(database)
    lines = why_presenter.text(explain(database, order)).splitlines()
    assert lines[0].startswith(f"{order} is pending as of 20")
    assert lines[1].startswith("1. all queues are paused, for ")
    assert lines[2] == "   -> POST /api/v1/resume"
    assert lines[3] == "2. no manager was ever started [no_manager]"
    assert max(map(len, lines)) <= why_presenter.WIDTH

"""What operators do: cancel, retry, delete, pause; the detail, the figures, health, types."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from api import create_app, figures
from api.services import services
from database import Database, Sql
from ledger import Lane, ManagerCard
from models import CANCELLED, COMPLETED, FAILED, MOVES, PENDING, STATUSES, WIP
from settings import Settings, SettingsError
from tests import factories
from tests.api.calls import problem, submitted


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("method", "suffix", "to"),
    [("POST", "/cancel", CANCELLED), ("POST", "/retry", PENDING), ("DELETE", "", "")],
)
def test_what_the_state_forbids_is_409(
    client: FlaskClient, database: Database, status: str, method: str, suffix: str, to: str
) -> None:
    row = factories.order_in(database, status)
    allowed = to in MOVES[status] and not (status == WIP and to == PENDING)
    response = client.open(f"/api/v1/jobs/{row.id}{suffix}", method=method)
    if not allowed:
        assert status in problem(response, 409)["detail"]
        assert ledger.find(database, row.id).status == status
        return
    assert response.status_code == 200
    assert response.json["jobId"] == row.id  # type: ignore[index]
    assert response.json["status"] == (to or status)  # type: ignore[index]
    again = client.get(f"/api/v1/jobs/{row.id}")
    assert again.status_code == (200 if to else 404)


def test_the_detail_has_every_attempt(client: FlaskClient, database: Database) -> None:
    order_id = submitted(client)

    def attempt(to: str, **fields: Any) -> None:
        (claimed,) = factories.claim(database)
        ledger.finish(database, factories.MANAGER, [factories.ending(claimed, to, **fields)])

    def history() -> list[tuple[int, str, bool, bool]]:
        detail: Any = client.get(f"/api/v1/jobs/{order_id}").json
        return [
            (one["number"], one["outcome"], one["error"] is None, one["endedOn"] is None)
            for one in detail["history"]
        ]

    assert history() == []
    attempt(PENDING, delay_ms=0)
    assert history() == [(1, "error", False, False)]
    attempt(FAILED)
    assert history() == [(1, "error", False, False), (2, "failed", False, False)]
    ledger.retry(database, order_id)
    (claimed,) = factories.claim(database)
    assert len(history()) == 2
    beat = ledger.Beat(order_id, claimed.lease, "w/1", 5)
    ledger.renew(database, factories.MANAGER, [beat])
    assert history()[2:] == [(1, "running", True, True)]
    ledger.finish(database, factories.MANAGER, [factories.ending(claimed)])
    client.get(f"/api/v1/job/{order_id}")
    assert history()[2:] == [(1, "completed", True, False)]


def test_attempts_of_one_number_are_told_apart_by_their_lease(
    client: FlaskClient, database: Database
) -> None:
    order_id = submitted(client)

    def claimed() -> ledger.Claimed:
        (order,) = factories.claim(database)
        return order

    def ended(order: ledger.Claimed, **how: Any) -> None:
        back = factories.ending(order, PENDING, delay_ms=0, **how)
        assert ledger.finish(database, factories.MANAGER, [back]) == []

    ended(claimed(), outcome="handed_back", error=None, age_ms=5, uncounted=True)
    ended(claimed(), outcome="crashed", crashed=True)
    claimed()
    factories.make_stale(database, order_id)
    assert ledger.rescue(database, 1_000, rng=_AtOnce())
    last = claimed()
    ledger.renew(database, factories.MANAGER, [ledger.Beat(order_id, last.lease, "w/1", 5)])
    detail: Any = client.get(f"/api/v1/jobs/{order_id}").json
    assert (detail["attempts"], detail["crashes"]) == (3, 2)
    assert [(one["number"], one["lease"], one["outcome"]) for one in detail["history"]] == [
        (1, 1, "handed_back"),
        (1, 2, "crashed"),
        (2, 3, "worker_lost"),
        (3, 4, "running"),
    ]
    assert detail["history"][2]["worker"] is None
    listed: Any = client.get("/api/v1/jobs").json
    assert "crashes" not in listed["items"][0]
    schema: Any = client.get("/openapi.json").json
    entry = schema["components"]["schemas"]["PastAttempt"]
    assert set(entry["required"]) == set(detail["history"][0])
    assert {one["outcome"] for one in detail["history"]} < set(
        entry["properties"]["outcome"]["enum"]
    )


class _AtOnce(random.Random):
    """No back-off."""

    def uniform(self, a: float, b: float) -> float:
        return a


@pytest.mark.parametrize(
    ("status", "action"),
    [(PENDING, "cancel"), (WIP, "cancel"), (FAILED, "retry"), (CANCELLED, "retry")],
)
def test_links_lead_to_what_is_possible(
    client: FlaskClient, database: Database, status: str, action: str
) -> None:
    row = factories.order_in(database, status)
    links = client.get(f"/api/v1/jobs/{row.id}").json["links"]  # type: ignore[index]
    assert {"cancel", "retry"} & set(links) == {action}
    for name in ("self", "job", "status"):
        assert client.get(links[name]).status_code == 200
    assert client.post(links[action]).status_code == 200


def test_a_paused_queue_gives_nothing_out(client: FlaskClient, database: Database) -> None:
    submitted(client, queue="images")

    def claimable() -> bool:
        lanes = [Lane("images", 2)]
        orders = ledger.claim(database, "m", lanes, 1)
        endings = [factories.ending(o, PENDING, uncounted=True, delay_ms=0) for o in orders]
        ledger.finish(database, "m", endings)
        return bool(orders)

    for pause, resume, name in (
        ("/api/v1/queues/images/pause", "/api/v1/queues/images/resume", "images"),
        ("/api/v1/pause", "/api/v1/resume", "*"),
    ):
        assert client.post(pause).json == {"queue": name, "paused": True, "allPaused": [name]}
        assert client.post(pause).status_code == 200
        assert not claimable()
        assert client.post(resume).json == {"queue": name, "paused": False, "allPaused": []}
        assert claimable()
    problem(client.post("/api/v1/queues/a%20b/pause"), 422)
    problem(client.post("/api/v1/queues/*/pause"), 422)


@pytest.mark.parametrize("name", [".", "..", "%2e", "%2E%2e", ".%2e"])
@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_step_in_an_address_is_no_queue(
    client: FlaskClient, database: Database, name: str, action: str
) -> None:
    refused = problem(client.post(f"/api/v1/queues/{name}/{action}"), 422)
    assert [error["parameter"] for error in refused["errors"]] == ["name"]
    assert "choose another name" in refused["errors"][0]["message"]
    assert ledger.queues(database) == []
    assert client.post(f"/api/v1/queues/...x/{action}").status_code == 200


def register(database: Database, name: str = "m1", slots: int = 4) -> None:
    card = ManagerCard(name, "host", 1, "1", "database", slots, None, 5_000, 30_000)
    ledger.register(database, card)


def metrics(app: Flask) -> Any:
    services(app).figures._until = 0
    response = app.test_client().get("/api/v1/metrics")
    assert response.status_code == 200
    return response.json


def test_the_figures_follow_every_move(app: Flask, database: Database) -> None:
    empty = metrics(app)
    assert empty["tasks"] == {"pending": 0, "inProgress": 0, "completed": 0, "failed": 0}
    assert empty["workers"] == {"active": 0, "idle": 0}
    assert (empty["uptime"], empty["oldestPendingSeconds"]) == ("00:00:00", 0)
    assert "no manager" in empty["warning"]
    register(database)
    rows = {status: factories.order_in(database, status) for status in STATUSES[1:]}
    factories.submit(database)
    full = metrics(app)
    assert full["tasks"] == {"pending": 1, "inProgress": 1, "completed": 2, "failed": 1}
    assert (full["total"], full["retrieved"], full["cancelled"]) == (6, 1, 1)
    assert full["averageExecutionTimeMs"] == 5
    assert full["processedPerMinute"] in (2, 3)
    assert full["systemStatus"] == "Stable"
    assert full["updatedOn"] >= full["statusSince"]
    assert "warning" not in full
    ledger.delete(database, rows[COMPLETED].id)
    ledger.retry(database, rows[FAILED].id)
    after = metrics(app)
    assert after["tasks"] == {"pending": 2, "inProgress": 1, "completed": 1, "failed": 0}
    assert after["total"] == 5


def test_the_figures_are_computed_once_a_second(app: Flask, database: Database) -> None:
    before = metrics(app)
    factories.submit(database)
    assert app.test_client().get("/api/v1/metrics").json == before
    assert metrics(app)["tasks"]["pending"] == 1


def test_the_oldest_pending_order_is_found_in_any_lane(app: Flask, database: Database) -> None:
    now = ledger.find(database, factories.submit(database)).created_on
    for queue, priority, age in (("a", 1, 5), ("b", 3, 500), ("c", 2, 50)):
        made_earlier(database, factories.submit(database, queue=queue, priority=priority), age)
    factories.submit(database, queue="d", run_at=now + 10**9)
    assert 500 <= metrics(app)["oldestPendingSeconds"] < 520
    assert metrics(app)["systemStatus"] == "High Load"
    ledger.pause(database, "b")
    assert metrics(app)["oldestPendingSeconds"] >= 500


@pytest.mark.parametrize("moment", [-62_135_596_800_000, 123_456])
def test_an_order_that_was_due_before_it_was_made_waits_since_it_was_made(
    app: Flask, database: Database, moment: int
) -> None:
    fired = {"run_at": moment, "schedule": "nightly"}
    factories.submit(database, **fired)
    seen = metrics(app)
    assert seen["oldestPendingSeconds"] < 30
    assert seen["systemStatus"] == "Stable"
    made_earlier(database, factories.submit(database), 500)
    factories.submit(database, **fired)
    assert 500 <= metrics(app)["oldestPendingSeconds"] < 530
    made_earlier(database, factories.submit(database, **fired), 700, due=False)
    assert 700 <= metrics(app)["oldestPendingSeconds"] < 730


def made_earlier(database: Database, order_id: str, seconds: int, *, due: bool = True) -> None:
    """Let an order be so much older, and due so much longer."""
    statement = Sql("""
        UPDATE job_order SET created_on = created_on - :age, run_at = run_at - :due
        WHERE id = :id""")
    age = seconds * 1000
    given = {"age": age, "due": age if due else 0, "id": database.key(order_id)}
    database.write(lambda transaction: transaction.run(statement, given))


def test_a_rescue_shows(app: Flask, database: Database) -> None:
    row = factories.order_in(database, WIP)
    factories.make_stale(database, row.id)
    assert ledger.rescue(database, 1_000)
    assert metrics(app)["systemStatus"] == "Recovering"


def test_the_types_have_a_schema(client: FlaskClient) -> None:
    items: Any = client.get("/api/v1/types").json
    by_name = {item["type"]: item for item in items["items"]}
    assert {"add", "fail", "sleep"} <= set(by_name)
    schema = by_name["add"]["payloadSchema"]
    assert set(schema["required"]) == {"num1", "num2"}
    assert by_name["add"]["maxAttempts"] == 3


def test_health(client: FlaskClient) -> None:
    assert client.get("/healthz?x=1").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready"}


def test_a_database_that_was_not_migrated_is_not_ready(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    app = create_app(Settings(), database)
    response = app.test_client().get("/readyz")
    assert str(tmp_path) not in json.dumps(problem(response, 503))
    assert app.test_client().get("/healthz").status_code == 200
    database.close()


def test_a_database_that_is_away_is_503() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:9/none", connections=2)
    away = create_app(Settings(), nowhere)
    client = away.test_client()
    try:
        for method, address in (
            ("GET", "/readyz"),
            ("GET", "/api/v1/jobs"),
            ("GET", "/api/v1/add/1/2"),
            ("GET", "/api/v1/metrics"),
            ("GET", "/api/v1/job/0190a0b0-0000-7000-8000-000000000001"),
            ("POST", "/api/v1/pause"),
        ):
            response = client.open(address, method=method)
            document = problem(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
            assert "127.0.0.1" not in document["detail"]
        assert client.get("/healthz").status_code == 200
    finally:
        services(away).close()


@pytest.mark.parametrize("way", ["proxy", "oidc"])
def test_a_guard_that_is_not_there_yet_is_refused(way: str, database: Database) -> None:
    with pytest.raises(SettingsError, match=way):
        create_app(Settings(auth=(way,)), database)
    create_app(Settings(auth=("none",)), database)


def test_an_unexpected_failure_is_a_500_that_tells_nothing(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(figures.Figures, "document", broken)
    assert "secret detail" not in json.dumps(problem(client.get("/api/v1/metrics"), 500))
    assert "secret detail" in caplog.text

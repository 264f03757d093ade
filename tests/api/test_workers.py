"""What the API says of workers and managers."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from api.presenter import plain_moment
from api.services import services
from database import Database, DatabaseAway, Sql
from ledger import ManagerCard
from ledger.workers import WorkerNews, WorkerReport, report_workers
from models import WIP
from tests import factories
from tests.api.calls import fields_of

WORKERS = "/api/v1/workers"
SILENT = Sql("UPDATE manager SET last_beat = last_beat - 60000 WHERE id = :id")


def register(database: Database, name: str = "m1", queues: str | None = None) -> None:
    card = ManagerCard(name, "host", 7, "1.2", "database", 4, queues, 5_000, 30_000)
    ledger.register(database, card)


def report(
    database: Database, worker: str, state: str, order: str | None = None, kind: str = "thread"
) -> None:
    """What a manager says of one of its workers."""
    given = WorkerReport(worker, state, kind, 12.5, 64.0, int(order is not None), 3, order)
    report_workers(database, worker.rpartition("/")[0], [given])


def asked(client: FlaskClient, query: str = "") -> Any:
    response = client.get(WORKERS + query)
    assert response.status_code == 200, response.text
    return response.json


def active_and_idle(app: Flask) -> Any:
    services(app).figures._until = 0
    return app.test_client().get("/api/v1/metrics").json["workers"]  # type: ignore[index]


def moment(text: str) -> float:
    assert text.endswith("Z")
    return datetime.fromisoformat(text).timestamp()


def test_without_managers_there_is_nobody(client: FlaskClient) -> None:
    assert asked(client) == {"items": [], "nextCursor": None, "managers": []}


def test_a_worker_and_its_manager_are_shown_whole(client: FlaskClient, database: Database) -> None:
    register(database, queues="images,mail")
    order = factories.order_in(database, WIP).id
    report(database, "m1/1", "busy", order, "process")
    answer = asked(client)
    (worker,), (manager,) = answer["items"], answer["managers"]
    assert moment(worker.pop("lastHeartbeat")) == pytest.approx(
        moment(manager.pop("lastHeartbeat")), abs=20
    )
    assert worker == {
        "workerId": "m1/1",
        "manager": "m1",
        "state": "busy",
        "kind": "process",
        "cpuPercent": 12.5,
        "ramMb": 64,
        "ramShared": False,
        "assigned": 1,
        "done": 3,
        "currentJob": order,
        "currentJobStatus": "wip",
    }
    assert moment(manager.pop("startedOn"))
    assert manager == {
        "managerId": "m1",
        "host": "host",
        "pid": 7,
        "version": "1.2",
        "slots": 4,
        "transport": "database",
        "queues": ["images", "mail"],
        "state": "running",
        "proof": "none",
    }
    report(database, "m1/1", "idle")
    (worker,) = asked(client)["items"]
    assert (worker["state"], worker["ramShared"], worker["currentJob"]) == ("idle", True, None)
    assert client.get("/workers/status").text == client.get(WORKERS).text


def test_the_workers_of_a_silent_manager_are_lost(client: FlaskClient, database: Database) -> None:
    register(database)
    report(database, "m1/1", "busy", factories.order_in(database, WIP).id)
    database.write(lambda transaction: transaction.run(SILENT, {"id": "m1"}))
    answer = asked(client)
    (worker,) = answer["items"]
    assert (worker["state"], worker["cpuPercent"], worker["ramMb"]) == ("lost", None, None)
    assert answer["managers"][0]["state"] == "lost"


def test_a_manager_that_missed_its_heartbeats_is_silent(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    register(database)
    report(database, "m1/1", "idle")
    beaten = "UPDATE manager SET last_beat = last_beat - {} WHERE id = 'm1'"
    for ms, state, is_warned in ((14_000, "running", False), (2_000, "silent", True)):
        change = Sql(beaten.format(ms))
        database.write(lambda transaction, change=change: transaction.run(change))  # type: ignore[misc]
        assert asked(client)["managers"][0]["state"] == state
        services(app).figures._until = 0
        figures = json.loads(client.get("/api/v1/metrics").text)
        assert ("warning" in figures) is is_warned
    assert "no manager is beating" in figures["warning"]
    assert "of m1" in figures["warning"]
    assert asked(client)["items"][0]["state"] == "idle", "it may still be there"


def test_the_list_comes_in_pages(client: FlaskClient, database: Database) -> None:
    for manager in ("a", "ü:1:0"):
        register(database, manager)
        for number in range(1, 4):
            report(database, f"{manager}/{number}", "idle")
    shown: list[str] = []
    cursor = ""
    while True:
        page = asked(client, f"?limit=2{cursor}")
        shown += [worker["workerId"] for worker in page["items"]]
        assert len(page["managers"]) == 2
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert shown == [f"{manager}/{number}" for manager in ("a", "ü:1:0") for number in range(1, 4)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("state=idle", "state"),
        ("cursor=!", "cursor"),
        ("cursor=YQ==", "cursor"),
        ("cursor=YS94", "cursor"),
        ("cursor=_w==", "cursor"),
        ("cursor=AC8x", "cursor"),
        ("cursor=YS85OTk5OTk5OTk5OTk5", "cursor"),
        ("cursor=YS8tMQ==", "cursor"),
        ("cursor=" + "A" * 501, "cursor"),
    ],
)
def test_what_it_does_not_understand_is_named(client: FlaskClient, query: str, field: str) -> None:
    assert fields_of(client.get(f"{WORKERS}?{query}")) == {field}


def test_the_figures_count_what_the_registry_says(app: Flask, database: Database) -> None:
    register(database)
    register(database, "m2")
    assert active_and_idle(app) == {"active": 0, "idle": 0}
    for number, state in enumerate(("busy", "hung", "idle", "starting", "idle", "draining"), 1):
        report(database, f"m1/{number}", state)
    report(database, "m2/1", "busy")
    assert active_and_idle(app) == {"active": 3, "idle": 3}
    database.write(lambda transaction: transaction.run(SILENT, {"id": "m2"}))
    assert active_and_idle(app) == {"active": 2, "idle": 3}
    ledger.retire(database, "m1", "stopped")
    assert active_and_idle(app) == {"active": 0, "idle": 0}


@pytest.mark.parametrize("kind", ["worker_lost", "worker_replaced"])
def test_a_worker_that_is_lost_or_replaced_shows(app: Flask, database: Database, kind: str) -> None:
    register(database)
    report_workers(database, "m1", [], news=[WorkerNews("worker_added", "m1/1")])
    client = app.test_client()
    services(app).figures._until = 0
    assert client.get("/api/v1/metrics").json["systemStatus"] == "Stable"  # type: ignore[index]
    report_workers(database, "m1", [], news=[WorkerNews(kind, "m1/1")])
    services(app).figures._until = 0
    answer = json.loads(client.get("/api/v1/metrics").text)
    assert answer["systemStatus"] == "Recovering"
    assert "worker" in answer["statusReason"]


def test_an_outage_that_a_web_process_saw_is_told_when_it_is_back(
    app: Flask, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(database)
    client = app.test_client()

    def away(*_: object) -> None:
        raise DatabaseAway("refused by the test")

    now = 0.0
    monkeypatch.setattr(services(app).figures.outage, "_clock", lambda: now)
    for now in (5.0, 9.0):  # noqa: B007 (the clock reads it)
        with monkeypatch.context() as patch:
            patch.setattr(database, "read", away)
            patch.setattr(database, "write", away)
            assert client.get("/api/v1/jobs").status_code == 503
            assert client.get("/api/v1/metrics").status_code == 503
    now = 10.0
    answer = json.loads(client.get("/api/v1/metrics").text)
    assert answer["systemStatus"] == "Recovering"
    assert "the database was away for 4 s" in answer["statusReason"]
    (event,) = client.get("/api/v1/events?kind=database_away").json["items"]  # type: ignore[index]
    assert answer["statusSince"] == plain_moment(event["details"]["from"])
    assert event["description"].startswith("the database was away for 4 s, from ")

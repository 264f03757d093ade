"""What one was told is told to the next, to those who say that it will do; to nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.shared import SHARED
from database import Database
from tests.api.calls import submitted

LOOKS = {
    "jobs.list_jobs": "/api/v1/jobs?status=pending&limit=10",
    "jobs.count": "/api/v1/jobs/count?status=pending",
    "events.list_events": "/api/v1/events?limit=50",
    "series.get_series": "/api/v1/series?minutes=60",
    "queues.list_queues": "/api/v1/queues",
    "schedules.list_schedules": "/api/v1/schedules",
    "workers.list_workers": "/api/v1/workers",
}
MINUTE = {"Cache-Control": "max-age=60"}


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a connection to the database was taken so far."""
    real = Database.session
    taken = []

    def counting(self: Database, *arguments: object, **more: object) -> object:
        taken.append(1)
        return real(self, *arguments, **more)

    monkeypatch.setattr(Database, "session", counting)
    return lambda: len(taken)


def test_all_that_pages_look_at_by_themselves_is_shared() -> None:
    assert set(LOOKS) == set(SHARED)


@pytest.mark.parametrize("path", LOOKS.values(), ids=LOOKS)
def test_one_more_who_looks_asks_the_database_nothing(
    client: FlaskClient, sessions: Callable[[], int], path: str
) -> None:
    submitted(client)
    first = client.get(path, headers=MINUTE)
    assert (first.status_code, first.headers["Age"]) == (200, "0")
    asked = sessions()
    for _ in range(5):
        again = client.get(path, headers=MINUTE)
        assert again.data == first.data
        assert again.headers["Cache-Control"] == "no-store"
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert sessions() == asked
    client.get(path)
    assert sessions() > asked


def test_who_does_not_say_so_sees_what_was_just_written(client: FlaskClient) -> None:
    path = LOOKS["jobs.list_jobs"]
    before = client.get(path, headers=MINUTE).json
    new = submitted(client)
    assert client.get(path, headers=MINUTE).json == before
    for headers in ({}, {"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"}):
        now = client.get(path, headers=headers).json
        assert [one["jobId"] for one in now["items"]] == [new]  # type: ignore[index]


def test_an_old_answer_is_made_anew(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("api.shared.time.monotonic", lambda: now[0])
    headers = {"Cache-Control": "max-age=2"}
    path = LOOKS["jobs.list_jobs"]
    client.get(path, headers=headers)
    new = submitted(client)
    now[0] += 1.5
    kept = client.get(path, headers=headers)
    assert (kept.headers["Age"], kept.json["items"]) == ("1", [])  # type: ignore[index]
    now[0] += 0.5
    assert [one["jobId"] for one in client.get(path, headers=headers).json["items"]] == [new]  # type: ignore[index]


def test_errors_are_nobody_elses(client: FlaskClient) -> None:
    for _ in range(2):
        refused = client.get("/api/v1/jobs?limit=0", headers=MINUTE)
        assert refused.status_code == 422
        assert "Age" not in refused.headers


def test_those_who_ask_together_are_answered_by_one_look(
    app: Flask, sessions: Callable[[], int]
) -> None:
    app.test_client().get("/api/v1/jobs")  # what only a first request does
    alone = sessions()
    app.test_client().get("/api/v1/jobs")
    alone = sessions() - alone
    before = sessions()
    together = threading.Barrier(8)

    def look(_: int) -> bytes:
        together.wait()
        return bytes(app.test_client().get("/api/v1/jobs", headers=MINUTE).data)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(look, range(8)))) == 1
    assert sessions() - before == alone


def test_another_address_is_another_answer(client: FlaskClient) -> None:
    submitted(client, queue="naps")
    assert client.get("/api/v1/jobs?queue=naps", headers=MINUTE).json["items"]  # type: ignore[index]
    assert not client.get("/api/v1/jobs?queue=other", headers=MINUTE).json["items"]  # type: ignore[index]

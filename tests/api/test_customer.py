"""A customer among others: what it sees, and what its requests can reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from api.services import services
from database import Database
from ledger.tokens import revoke_tokens
from manager.bulk import BulkActions
from models import CANCELLED, COMPLETED, PENDING, RETRIEVED
from tests import factories
from tests.api.calls import SUM, problem, submit, submitted
from tests.api.test_stream import brief, parsed, reading
from tests.api.tokens import caller, guarded_app
from tests.support import wait_until


@pytest.fixture
def guarded(database: Database) -> Iterator[Flask]:
    with guarded_app(database) as app:
        yield app


__all__ = ["brief"]  # a fixture for all of this file


@pytest.fixture
def ana(guarded: Flask, database: Database) -> FlaskClient:
    return caller(guarded, database, "ana", "customer")


@pytest.fixture
def ben(guarded: Flask, database: Database) -> FlaskClient:
    return caller(guarded, database, "ben", "customer")


def ids(response: Any) -> list[str]:
    return [item["jobId"] for item in response.json["items"]]


def test_lists_and_counts_show_its_own(
    guarded: Flask, database: Database, ana: FlaskClient, ben: FlaskClient
) -> None:
    mine = [submitted(ana, tags=["x"]) for _ in range(3)]
    theirs = [submitted(ben, tags=["x"]) for _ in range(2)]
    operator = caller(guarded, database, "root", "operator")
    for path in ("/api/v1/jobs", "/tasks", "/api/v1/jobs?tag=x", "/api/v1/jobs?q=x"):
        assert ids(ana.get(path)) == mine[::-1]
        assert ids(ben.get(path)) == theirs[::-1]
        assert ids(operator.get(path)) == (mine + theirs)[::-1]
    assert ana.get("/api/v1/jobs/count").json == {"count": 3}
    assert ana.get("/api/v1/jobs/count?status=pending&owner=ana").json == {"count": 3}
    assert operator.get("/api/v1/jobs/count?owner=ben").json == {"count": 2}
    for path in ("/api/v1/jobs?owner=ben", "/api/v1/jobs/count?owner=", "/tasks?owner=ben"):
        problem(ana.get(path), 403)
    assert ids(ana.get(f"/api/v1/jobs?q={theirs[0]}")) == []
    assert {row["owner"] for row in ana.get("/api/v1/jobs").json["items"]} == {"ana"}  # type: ignore[index]


def test_a_cursor_of_another_shows_nothing_of_the_other(ana: FlaskClient, ben: FlaskClient) -> None:
    mine = submitted(ana)
    for _ in range(3):
        submitted(ben)
    cursor = ben.get("/api/v1/jobs?limit=1").json["nextCursor"]  # type: ignore[index]
    assert ids(ana.get(f"/api/v1/jobs?limit=1&cursor={cursor}")) == [mine]


def test_a_key_is_the_owners_own(ana: FlaskClient, ben: FlaskClient) -> None:
    first = submit(ana, Idempotency_Key="k")
    other = submit(ben, {**SUM, "payload": {"num1": 5, "num2": 5}}, Idempotency_Key="k")
    assert (first.status_code, other.status_code) == (202, 202)
    again = submit(ana, Idempotency_Key="k")
    assert again.status_code == 200
    assert again.json["jobId"] == first.json["jobId"]  # type: ignore[index]


def test_many_at_once_are_cancelled_among_its_own(
    database: Database, ana: FlaskClient, ben: FlaskClient
) -> None:
    mine, theirs = submitted(ana), submitted(ben)
    wanted = {"action": "cancel", "filter": {"status": ["pending"]}}
    started = ana.post("/api/v1/jobs/actions", json=wanted)
    assert started.status_code == 202
    place = started.headers["Location"]
    problem(ben.get(place), 404)
    BulkActions(database, "m", lambda: None, lambda: None).tick()
    assert ana.get(place).json["done"] == 1  # type: ignore[index]
    assert ledger.find(database, mine).status == CANCELLED
    assert ledger.find(database, theirs).status == PENDING
    problem(ana.post("/api/v1/jobs/actions", json=wanted | {"action": "retry"}), 403)
    problem(ana.post("/api/v1/jobs/actions", json=wanted | {"filter": {"owner": "ben"}}), 403)


def test_only_its_owner_retrieves_a_result(
    guarded: Flask, database: Database, ana: FlaskClient
) -> None:
    order = factories.order_in(database, COMPLETED, owner="ana")
    for role in ("viewer", "operator", "admin"):
        other = caller(guarded, database, role, role)
        for path in (f"/api/v1/job/{order.id}", f"/api/v1/job/{order.id}/result"):
            assert other.get(path).status_code == 200
    assert ledger.find(database, order.id).status == COMPLETED
    assert ana.get(f"/api/v1/job/{order.id}").json["status"] == COMPLETED  # type: ignore[index]
    assert ledger.find(database, order.id).status == RETRIEVED


def test_events_are_those_of_an_order_of_its_own(ana: FlaskClient, ben: FlaskClient) -> None:
    mine, theirs = submitted(ana), submitted(ben)
    problem(ana.get("/api/v1/events"), 403)
    problem(ana.get(f"/api/v1/events?job={theirs}"), 404)
    shown = ana.get(f"/api/v1/events?job={mine}").json["items"]  # type: ignore[index]
    assert [event["event"] for event in shown] == ["submitted"]


def test_a_stream_has_nothing_of_others_and_no_figures(
    guarded: Flask, database: Database, ana: FlaskClient, ben: FlaskClient
) -> None:
    with reading(ana) as stream:
        theirs = submitted(ben)
        mixed = [factories.new_order(owner=owner) for owner in ("ben", "ana")]
        services(guarded).committer.submit(ledger.Request(mixed))
        mine = submitted(ana)
        wait_until(lambda: mine in stream.text and ": heartbeat" in stream.text)
        frames = parsed(stream.text)
    assert theirs not in stream.text
    assert {frame.name for frame in frames} == {"event", "job", "heartbeat"}
    told = [frame.data["jobId"] for frame in frames if frame.name == "job"]
    assert told == [mixed[1].id, mine]


def test_a_stream_that_is_resumed_catches_up_with_its_own(
    ana: FlaskClient, ben: FlaskClient
) -> None:
    with reading(ana) as stream:
        first = submitted(ana)
        wait_until(lambda: len(stream.of("job")) == 1)
        last = stream.of("job")[0]
    assert last.data["jobId"] == first
    submitted(ben)
    mine = [submitted(ana) for _ in range(3)]
    with reading(ana, last.id) as stream:
        wait_until(lambda: len(stream.of("job")) == len(mine))
        assert [one.data["jobId"] for one in stream.of("job")] == mine


def test_a_stream_ends_when_its_token_is_revoked(
    database: Database, ana: FlaskClient, ben: FlaskClient
) -> None:
    with reading(ana) as stream, reading(ben) as other:
        revoke_tokens(database, "ana")
        wait_until(lambda: stream.ended)
        assert not other.ended

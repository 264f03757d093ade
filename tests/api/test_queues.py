"""Queues as an operator sees them, and the series that charts draw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ledger
from database import Database, Sql
from ledger import ManagerCard, queue_sight
from ledger.series import times
from ledger.usage import Used, keep_usage
from models import COMPLETED, FAILED, PRIORITIES, WIP
from tests import factories
from tests.api.calls import fields_of

QUEUES = "/api/v1/queues"
SERIES = "/api/v1/series"
SILENT = Sql("UPDATE manager SET last_beat = last_beat - 16000 WHERE id = :id")
WAITED = Sql("UPDATE job_order SET run_at = run_at - :ms, created_on = created_on - :ms")
EARLIER = Sql("UPDATE tally SET minute = minute - :minutes")
HOUR_MS = 3_600_000


def register(database: Database, name: str, served: str | None = None) -> None:
    card = ManagerCard(name, "host", 7, "1", "database", 4, served, 5_000, 30_000)
    ledger.register(database, card)


def change(database: Database, statement: Sql, **parameters: Any) -> None:
    database.write(lambda transaction: transaction.run(statement, parameters))


def asked(client: FlaskClient, query: str = "") -> Any:
    response = client.get(QUEUES + query)
    assert response.status_code == 200, response.text
    return response.json


def rows(client: FlaskClient) -> dict[str, dict[str, Any]]:
    return {row["queue"]: row for row in asked(client)["items"]}


def due_in(database: Database, ms: int) -> int:
    (now,) = database.read(Sql("SELECT {now}"))[0]
    return int(now) + ms


def test_without_orders_there_is_none(client: FlaskClient) -> None:
    assert asked(client) == {
        "items": [],
        "nextCursor": None,
        "allPaused": False,
        "transport": {"name": "database"},
    }


def test_a_queue_is_shown_whole(client: FlaskClient, database: Database) -> None:
    register(database, "m1")
    register(database, "m2", "images")
    register(database, "m3", "mail,images")
    register(database, "gone")
    change(database, SILENT, id="gone")
    factories.order_in(database, WIP, queue="images")
    factories.order_in(database, COMPLETED, queue="images")
    for priority in PRIORITIES.values():
        factories.submit(database, queue="images", priority=priority)
    change(database, WAITED, ms=90_000)
    factories.submit(database, queue="images", run_at=due_in(database, HOUR_MS))
    row = rows(client)["images"]
    assert 90 <= row.pop("oldestWaitSeconds") < 110
    assert row == {
        "queue": "images",
        "pending": 4,
        "scheduled": 1,
        "inFlight": 1,
        "redelivered": 0,
        "paused": False,
        "pausedSince": None,
        "pausedBy": None,
        "managers": ["m1", "m2", "m3"],
    }


def test_an_order_that_was_due_before_it_was_made_waits_since_then(
    client: FlaskClient, database: Database
) -> None:
    factories.submit(database, run_at=due_in(database, -HOUR_MS))
    assert rows(client)["default"]["oldestWaitSeconds"] < 60


def test_a_pause_is_told_of_the_queue_and_of_all(client: FlaskClient, database: Database) -> None:
    factories.submit(database, queue="mail")
    ledger.pause(database, "images", "ana")
    assert client.post("/api/v1/queues/images/pause").status_code == 200
    found = rows(client)
    assert (found["images"]["paused"], found["images"]["pausedBy"]) == (True, "ana"), "the first"
    assert found["images"]["pausedSince"].endswith("Z")
    assert found["mail"]["paused"] is False
    ledger.pause(database, paused_by="bob")
    found = rows(client)
    assert asked(client)["allPaused"] is True
    assert (found["mail"]["paused"], found["mail"]["pausedBy"]) == (True, "bob")
    assert found["images"]["pausedBy"] == "ana"
    ledger.resume(database)
    ledger.resume(database, "images")
    assert not any(row["paused"] for row in rows(client).values())


@pytest.mark.parametrize("later", [0, 3])
def test_what_is_too_much_to_count_is_said_to_be(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    """The statement counts to a thousand; so many of each are there."""
    most = queue_sight.MOST_COUNTED
    orders = [factories.new_order() for _ in range(most + 1)]
    ledger.submit(database, [ledger.Request(orders)])
    tomorrow = due_in(database, 24 * HOUR_MS)
    orders = [factories.new_order(run_at=tomorrow) for _ in range(most + later if later else 2)]
    ledger.submit(database, [ledger.Request(orders)])
    row = rows(client)["default"]
    assert row["pending"] == most + 1 + len(orders)
    assert row["scheduled"] == (f"{most}+" if later else 2)
    if later:
        change(database, Sql("UPDATE job_order SET run_at = :at WHERE run_at < :at"), at=tomorrow)
        row = rows(client)["default"]
        assert row["scheduled"] == row["pending"], "what is due can be counted"


def test_the_queues_come_in_pages(client: FlaskClient, database: Database) -> None:
    for name in ("c", "a", "b"):
        factories.submit(database, queue=name)
    ledger.pause(database)
    page = asked(client, "?limit=2")
    assert [row["queue"] for row in page["items"]] == ["a", "b"]
    page = asked(client, f"?limit=2&cursor={page['nextCursor']}")
    assert [row["queue"] for row in page["items"]] == ["c"]
    assert page["nextCursor"] is None


@pytest.mark.parametrize(
    ("address", "field"),
    [
        (f"{QUEUES}?limit=0", "limit"),
        (f"{QUEUES}?limit=501", "limit"),
        (f"{QUEUES}?cursor=!", "cursor"),
        (f"{QUEUES}?queue=a", "queue"),
        (f"{SERIES}?minutes=0", "minutes"),
        (f"{SERIES}?minutes=121", "minutes"),
        (f"{SERIES}?minutes=1.5", "minutes"),
        (f"{SERIES}?hours=1", "hours"),
    ],
)
def test_what_is_not_understood_is_named(client: FlaskClient, address: str, field: str) -> None:
    assert fields_of(client.get(address)) == {field}


def series(client: FlaskClient, minutes: int) -> Any:
    response = client.get(f"{SERIES}?minutes={minutes}")
    assert response.status_code == 200, response.text
    return response.json


def test_the_series_of_a_new_system_are_empty(client: FlaskClient) -> None:
    answer = series(client, 3)
    assert len(answer["processed"]) == answer["minutes"] == 3
    assert all(one["completed"] == one["failed"] == 0 for one in answer["processed"])
    assert (answer["runMs"], answer["waitMs"], answer["types"]) == (None, None, [])
    assert answer["usage"] == {"seconds": 10, "times": [], "workers": [], "truncated": False}
    starts = [datetime.fromisoformat(one["minute"]) for one in answer["processed"]]
    assert starts == sorted(starts)
    assert (datetime.now(UTC) - starts[-1]).total_seconds() < 125


def test_what_was_processed_is_told_by_minute_and_type(
    client: FlaskClient, database: Database
) -> None:
    factories.order_in(database, COMPLETED)
    factories.order_in(database, FAILED)
    factories.order_in(database, COMPLETED, type="sleep")
    factories.order_in(database, COMPLETED, type="sleep")
    change(database, EARLIER, minutes=5)
    ledger.cancel(database, factories.order_in(database, WIP).id)
    answer = series(client, 10)
    busy = [one for one in answer["processed"] if one["completed"]]
    assert [(one["completed"], one["failed"]) for one in busy] == [(3, 1)]
    assert answer["processed"].index(busy[0]) in (3, 4), "five minutes ago"
    assert answer["types"] == [
        {"type": "add", "processed": 2, "share": 0.5},
        {"type": "sleep", "processed": 2, "share": 0.5},
    ]
    assert 4 <= answer["runMs"]["p50"] <= answer["runMs"]["p95"] <= 8, "each ran for 5 ms"
    assert answer["waitMs"]["p95"] < 10_000
    assert busy[0]["waitMs"] is not None


def test_how_long_orders_waited_counts_from_when_they_could_run(
    client: FlaskClient, database: Database
) -> None:
    factories.submit(database, run_at=due_in(database, -HOUR_MS))
    factories.claim(database)
    assert series(client, 1)["waitMs"]["p95"] < 60_000
    factories.submit(database)
    change(database, WAITED, ms=100_000)
    factories.claim(database)
    assert 65_536 <= series(client, 1)["waitMs"]["p95"] <= 131_072


def test_minutes_that_are_over_are_not_read_again(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    factories.order_in(database, COMPLETED)
    change(database, EARLIER, minutes=30)
    first = series(client, 60)
    change(database, Sql("DELETE FROM tally"))
    factories.order_in(database, COMPLETED)
    second = series(client, 60)
    counts = [[one["completed"] for one in answer["processed"]] for answer in (first, second)]
    assert sum(counts[0]) == 1
    assert sum(counts[1]) == 2
    ledger.fold(database)
    assert sum(one["completed"] for one in series(client, 60)["processed"]) == 2


def test_what_workers_use_is_told_over_time(client: FlaskClient, database: Database) -> None:
    keep_usage(database, "m1", {10: {1: Used(50.0, 20.0), 2: Used(None, 30.0)}})
    keep_usage(database, "m1", {60: {1: Used(40.0, 20.0)}})
    fine = series(client, 20)["usage"]
    assert (fine["seconds"], len(fine["times"])) == (10, 1)
    assert fine["workers"] == [
        {"workerId": "m1/1", "cpuPercent": [50], "ramMb": [20]},
        {"workerId": "m1/2", "cpuPercent": [None], "ramMb": [30]},
    ]
    coarse = series(client, 60)["usage"]
    assert (coarse["seconds"], coarse["truncated"]) == (60, False)
    assert coarse["workers"] == [{"workerId": "m1/1", "cpuPercent": [40], "ramMb": [20]}]


def test_times_are_told_from_buckets() -> None:
    assert times({}) is None
    assert times({0: 4}) == (0, 0)
    assert times({3: 100}) == (6, 7.8)
    found = times({1: 90, 11: 10})
    assert found is not None
    assert found.p50 < 2
    assert 1024 <= found.p95 <= 2048

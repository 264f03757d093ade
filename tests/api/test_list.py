"""The list of orders: order, pages, filters, search, and how far a search goes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

import ledger
from api import queries
from database import Database, Sql
from ledger import Request
from models import CANCELLED, COMPLETED, FAILED, PENDING, RETRIEVED, WIP
from tests import factories
from tests.api.calls import fields_of, submitted


def ids(client: FlaskClient, query: str = "") -> list[str]:
    response = client.get(f"/api/v1/jobs{query}")
    assert response.status_code == 200, response.text
    return [order["jobId"] for order in response.json["items"]]  # type: ignore[index]


def walk(client: FlaskClient, query: str) -> list[str]:
    """All pages of a list, by the links from each to the next."""
    found: list[str] = []
    address: str | None = f"/api/v1/jobs?{query}"
    while address:
        response = client.get(address)
        page: Any = response.json
        found += [order["jobId"] for order in page["items"]]
        link = response.headers.get("Link")
        assert (link is None) == (page["nextCursor"] is None)
        address = link.split(">")[0].lstrip("<") if link else None
    return found


def many(database: Database, count: int, **columns: Any) -> list[str]:
    orders = [factories.new_order(**columns) for _ in range(count)]
    return ledger.submit(database, [Request(orders)])[0].ids


def test_the_newest_come_first_and_pages_have_no_gap(
    client: FlaskClient, database: Database
) -> None:
    all_of_them = many(database, 25)[::-1]
    assert ids(client) == all_of_them
    assert walk(client, "limit=7") == all_of_them
    assert walk(client, "limit=5") == all_of_them
    assert ids(client, "?limit=1") == all_of_them[:1]


def test_an_order_that_arrives_meanwhile_shifts_no_page(
    client: FlaskClient, database: Database
) -> None:
    old = many(database, 4)[::-1]
    cursor = client.get("/api/v1/jobs?limit=2").json["nextCursor"]  # type: ignore[index]
    many(database, 3)
    assert ids(client, f"?limit=2&cursor={cursor}") == old[2:]


def test_a_cursor_fits_only_its_filters(client: FlaskClient, database: Database) -> None:
    many(database, 4)
    cursor = client.get("/api/v1/jobs?limit=2&queue=default").json["nextCursor"]  # type: ignore[index]
    assert len(ids(client, f"?limit=1&queue=default&cursor={cursor}")) == 1
    for query in ("", "queue=other&", "queue=default&status=pending&"):
        assert fields_of(client.get(f"/api/v1/jobs?{query}cursor={cursor}")) == {"cursor"}


@pytest.fixture
def mixed(database: Database) -> dict[str, str]:
    """One order in each status, in that order of age."""
    return {
        status: factories.order_in(database, status).id
        for status in (COMPLETED, RETRIEVED, FAILED, CANCELLED, WIP, PENDING)
    }


@pytest.mark.parametrize("status", [PENDING, WIP, COMPLETED, RETRIEVED, FAILED, CANCELLED])
def test_by_status(client: FlaskClient, mixed: dict[str, str], status: str) -> None:
    assert ids(client, f"?status={status}") == [mixed[status]]
    assert ids(client, f"?status={status}&queue=default") == [mixed[status]]
    assert ids(client, f"?status={status}&type=add&tag=none") == []


@pytest.mark.parametrize(
    "statuses",
    [
        (FAILED, CANCELLED),
        (WIP, PENDING),
        (FAILED, WIP, PENDING),
        (COMPLETED, PENDING),
        (COMPLETED, RETRIEVED, FAILED, CANCELLED, WIP, PENDING),
    ],
)
def test_by_several_statuses(
    client: FlaskClient, mixed: dict[str, str], statuses: tuple[str, ...]
) -> None:
    wanted = sorted((mixed[status] for status in statuses), reverse=True)
    assert ids(client, f"?status={','.join(statuses)}") == wanted
    assert ids(client, "?" + "&".join(f"status={status}" for status in statuses)) == wanted
    assert walk(client, f"limit=1&status={','.join(statuses)}") == wanted


def test_by_each_field(client: FlaskClient, database: Database) -> None:
    plain = factories.submit(database)
    special = factories.submit(
        database,
        type="sleep",
        payload='{"seconds":1}',
        queue="images",
        priority=1,
        owner="ann",
        tags='["a b","c%","\\u00e9"]',
    )
    for query in (
        *("type=sleep", "queue=images", "priority=high", "owner=ann", "tag=a b", "tag=c%25"),
        *(
            "tag=é",
            "type=sleep&queue=images&priority=high&owner=ann",
            "queue=images&status=pending",
        ),
    ):
        assert ids(client, f"?{query}") == [special], query
    assert ids(client, "?owner=") == [plain]
    assert ids(client, "?tag=a") == []
    assert ids(client, "?tag=c_") == []


def test_by_worker(client: FlaskClient, database: Database) -> None:
    row = factories.order_in(database, COMPLETED)
    factories.submit(database)
    assert ids(client, f"?worker={row.worker}") == [row.id]
    assert ids(client, "?worker=nobody") == []


def test_by_time_of_creation(client: FlaskClient, database: Database) -> None:
    statement = Sql("UPDATE job_order SET created_on = :at WHERE id = :id")

    def set_time(order_id: str, at: int) -> None:
        values = {"at": at, "id": database.key(order_id)}
        database.write(lambda tx: tx.run(statement, values))

    one, two, three = (factories.submit(database) for _ in range(3))
    begin = ledger.find(database, one).created_on
    for place, order_id in enumerate((one, two, three)):
        set_time(order_id, begin + place * 1000)
    shown = [client.get(f"/api/v1/jobs/{i}").json["createdOn"] for i in (one, two, three)]  # type: ignore[index]
    assert ids(client, f"?createdAfter={shown[0]}") == [three, two]
    assert ids(client, f"?createdBefore={shown[2]}") == [two, one]
    assert ids(client, f"?createdAfter={shown[0]}&createdBefore={shown[2]}") == [two]
    assert ids(client, "?createdAfter=2100-01-01T00:00:00Z") == []
    assert ids(client, "?createdBefore=0001-01-01T00:00:00Z") == []
    assert ids(client, "?createdBefore=9999-12-31T23:59:59Z") == [three, two, one]


@pytest.mark.parametrize(
    "q", ["needle", "NEEDLE", "12.50", "tag-x", "ümlaut", "wrong", "ValueError", "slee", 'a"b']
)
def test_text_is_found_where_it_is_shown(client: FlaskClient, database: Database, q: str) -> None:
    row = factories.order_in(
        database,
        FAILED,
        type="sleep",
        payload='{"a":["x Needle y",12.50,"\\u00fcmlaut","a\\"b"]}',
        tags='["tag-x"]',
    )
    factories.submit(database, payload='{"num1":7,"num2":8}')
    response = client.get("/api/v1/jobs", query_string={"q": q})
    assert [order["jobId"] for order in response.json["items"]] == [row.id]  # type: ignore[index]


def test_an_id_is_found_by_any_part_of_it(client: FlaskClient, database: Database) -> None:
    one, _ = factories.submit(database), factories.submit(database)
    for q in (one, one.replace("-", ""), one[-12:], one.upper(), one[15:30]):
        assert ids(client, f"?q={q}") == [one]


@pytest.mark.parametrize("q", ["hunter2", "num1", "apiKey", "message", "traceback"])
def test_secrets_and_names_of_fields_are_not_found(
    client: FlaskClient, database: Database, q: str
) -> None:
    payload = '{"num1":1,"deep":[{"apiKey":"hunter2","Password":{"x":"hunter2"}}]}'
    factories.order_in(database, FAILED, payload=payload)
    assert ids(client, f"?q={q}") == []
    assert "hunter2" not in client.get("/api/v1/jobs").text


def test_a_search_gives_up_and_says_how_far_it_came(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW_ROWS", 300)
    monkeypatch.setattr(queries, "WINDOW_SECONDS", 1e9)
    wanted = many(database, 3, tags='["ann"]')
    many(database, 1_000)
    page: Any = client.get("/api/v1/jobs?tag=ann").json
    assert page["items"] == []
    assert page["nextCursor"]
    assert page["searchedTo"].endswith("Z")
    assert walk(client, "tag=ann") == wanted[::-1]
    assert walk(client, "tag=ann&limit=2") == wanted[::-1]


def test_a_search_stops_when_its_time_is_up(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW_SECONDS", 0)
    (wanted,) = many(database, 1, tags='["ann"]')
    many(database, 500)
    page: Any = client.get("/api/v1/jobs?tag=ann").json
    assert page["nextCursor"]
    assert walk(client, "tag=ann") == [wanted]


def test_live_orders_are_found_below_many_ended_ones(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW_ROWS", 50)
    old = many(database, 3, run_at=2**45)
    many(database, 200)
    end = Sql("UPDATE job_order SET status = 'completed', completed_on = 1 WHERE run_at < :far")
    database.write(lambda tx: tx.run(end, {"far": 2**44}))
    page: Any = client.get("/api/v1/jobs?status=pending").json
    assert [order["jobId"] for order in page["items"]] == old[::-1]
    assert "searchedTo" not in page


def test_an_owners_orders_are_found_below_very_many_of_others(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW_ROWS", 200)
    own = [factories.order_in(database, CANCELLED, owner="ana").id for _ in range(3)]
    others = [factories.new_order() for _ in range(300)]
    others += [factories.new_order(owner="ben") for _ in range(300)]
    ledger.submit(database, [ledger.Request(others)])
    for more in ("", "&status=cancelled", "&type=add&status=cancelled,failed"):
        found = client.get(f"/api/v1/jobs?owner=ana{more}").json
        assert [one["jobId"] for one in found["items"]] == own[::-1]  # type: ignore[index]
        assert "searchedTo" not in found  # type: ignore[operator]
        assert client.get(f"/api/v1/jobs/count?owner=ana{more}").json == {"count": 3}
    page = client.get("/api/v1/jobs?owner=ana&limit=2").json
    rest = client.get(f"/api/v1/jobs?owner=ana&limit=2&cursor={page['nextCursor']}").json  # type: ignore[index]
    assert [one["jobId"] for one in rest["items"]] == own[:1]  # type: ignore[index]
    assert client.get("/api/v1/jobs?owner=nobody").json["items"] == []  # type: ignore[index]


def test_long_json_is_cut_in_the_list_only(client: FlaskClient, database: Database) -> None:
    long = json.dumps({"text": "x" * 5_000})
    short = json.dumps({"text": "x" * 1_900})
    row = factories.order_in(database, PENDING, payload=long)
    factories.submit(database, payload=short)
    listed = client.get("/api/v1/jobs").json["items"]  # type: ignore[index]
    assert listed[0]["payload"] == json.loads(short)
    cut = listed[1]["payload"]
    assert (cut["truncated"], cut["length"], cut["start"]) == (True, len(long), long[:300])
    assert client.get(f"/api/v1/jobs/{row.id}").json["payload"] == json.loads(long)  # type: ignore[index]


def test_a_cut_shows_no_secret(client: FlaskClient, database: Database) -> None:
    factories.submit(database, payload=json.dumps({"password": "hunter2", "x": "y" * 5_000}))
    assert "hunter2" not in client.get("/api/v1/jobs").text
    assert '"start":""' in client.get("/api/v1/jobs").text


def test_a_long_error_is_cut_in_the_list(client: FlaskClient, database: Database) -> None:
    order_id = factories.submit(database)
    (claimed,) = factories.claim(database)
    error = {"type": "E", "message": "m" * 3_000, "traceback": "t" * 9_000}
    ending = factories.ending(claimed, FAILED, error=json.dumps(error))
    ledger.finish(database, factories.MANAGER, [ending])
    listed = client.get("/api/v1/jobs").json["items"][0]["error"]  # type: ignore[index]
    assert listed == {"type": "E", "message": "m" * 300 + "…"}
    assert client.get(f"/api/v1/jobs/{order_id}").json["error"] == error  # type: ignore[index]


def test_tasks_are_the_same(client: FlaskClient, mixed: dict[str, str]) -> None:
    for query in ("", "?status=pending", "?limit=2"):
        one, other = client.get(f"/tasks{query}"), client.get(f"/api/v1/jobs{query}")
        assert one.text == other.text
    assert client.get("/tasks?limit=2").headers["Link"].startswith("</tasks?")
    order_id = mixed[FAILED]
    assert client.get(f"/tasks/{order_id}").text == client.get(f"/api/v1/jobs/{order_id}").text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 5),
        ("status=pending", 4),
        ("status=cancelled", 1),
        ("status=pending,cancelled", 5),
        ("status=completed", 0),
        ("queue=naps", 2),
        ("status=pending&queue=naps", 2),
        ("q=0.125", 1),
        ("tag=red&status=cancelled", 1),
        ("createdAfter=2000-01-01T00:00:00Z", 5),
        ("createdBefore=2000-01-01T00:00:00Z", 0),
    ],
)
def test_a_count_is_that_of_the_list(client: FlaskClient, query: str, count: int) -> None:
    for _ in range(2):
        submitted(client, queue="naps")
    submitted(client, payload={"num1": 0.125, "num2": 1})
    submitted(client)
    client.post(f"/api/v1/jobs/{submitted(client, tags=['red'])}/cancel")
    assert client.get(f"/api/v1/jobs/count?{query}").json == {"count": count}
    page = client.get(f"/api/v1/jobs?{query}").json
    assert len(page["items"]) == count  # type: ignore[index]


def test_a_count_ends_at_its_bounds(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        submitted(client)
    monkeypatch.setattr(queries, "MOST_COUNTED", 4)
    assert client.get("/api/v1/jobs/count").json == {"count": "4+"}
    assert client.get("/api/v1/jobs/count?status=pending").json == {"count": "4+"}
    monkeypatch.setattr(queries, "WINDOW_ROWS", 2)
    monkeypatch.setattr(queries, "FIRST_STEP", 2)
    assert client.get("/api/v1/jobs/count?type=add").json == {"count": "2+"}

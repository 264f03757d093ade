"""What the API shows of the lines that a job printed and logged."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from database import Database
from ledger.journal import DROPPED, keep_lines, log_page
from models import CANCELLED, COMPLETED, FAILED, PENDING, WIP
from tests import factories
from tests.api.calls import NOBODY, fields_of, problem

LINES = [
    (0, "stdout", None, "starting"),
    (1, "log", 20, "half way"),
    (2, "stderr", None, "oops"),
    (3, "log", 35, "nearly bad"),
]


def said(database: Database, order: str, lease: int = 1, first: int = 1) -> None:
    keep_lines(database, [log_page(order, lease, lease, first, LINES)], ())


def asked(client: FlaskClient, order: str, query: str = "") -> Any:
    response = client.get(f"/api/v1/jobs/{order}/logs{query}")
    assert response.status_code == 200, response.text
    return response.json


def lines(answer: Any) -> list[str]:
    return [item["line"] for item in answer["items"]]


def test_lines_are_shown_whole(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    said(database, order)
    answer = asked(client, order)
    assert set(answer) == {"items", "nextCursor", "dropped"}
    assert answer["items"][1] == {
        "seq": answer["items"][0]["seq"] + 1,
        "time": "1970-01-01T00:00:00.001Z",
        "attempt": 1,
        "lease": 1,
        "stream": "log",
        "level": "info",
        "line": "half way",
    }
    assert [item["level"] for item in answer["items"]] == [None, "info", None, "warning"]
    assert answer["nextCursor"] is None
    assert answer["dropped"] == 0


def test_looking_retrieves_nothing(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    asked(client, order)
    assert client.get(f"/api/v1/jobs/{order}").json["status"] == COMPLETED  # type: ignore[index]


def test_a_running_job_can_be_followed(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, WIP).id
    answer = asked(client, order)
    assert (answer["items"], answer["nextCursor"]) == ([], "0")
    seen: list[str] = []
    for number in range(3):
        said(database, order, first=4 * number + 1)
        answer = asked(client, order, f"?after={answer['nextCursor']}")
        seen += lines(answer)
    assert seen == [text for *_, text in LINES] * 3
    again = asked(client, order, f"?after={answer['nextCursor']}")
    assert (again["items"], again["nextCursor"]) == ([], answer["nextCursor"])


def test_pages_join_without_gap_or_repeat(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, FAILED).id
    for number in range(3):
        said(database, order, first=4 * number + 1)
    address = f"/api/v1/jobs/{order}/logs?limit=5&stream=stdout,log"
    seen: list[int] = []
    while address:
        response = client.get(address)
        assert response.json is not None
        seen += [item["seq"] for item in response.json["items"]]
        assert (response.json["nextCursor"] is None) == ("Link" not in response.headers)
        address = response.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert len(seen) == 9
    assert seen == sorted(set(seen))


def test_a_filter_that_finds_nothing_yet_goes_on_behind_all(
    client: FlaskClient, database: Database
) -> None:
    order = factories.order_in(database, WIP).id
    said(database, order)
    answer = asked(client, order, "?level=critical")
    assert answer["items"] == []
    assert answer["nextCursor"] == asked(client, order)["nextCursor"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("stream=stdout", ["starting"]),
        ("stream=stdout,stderr", ["starting", "oops"]),
        ("stream=stdout&stream=stderr", ["starting", "oops"]),
        ("level=info", ["half way", "nearly bad"]),
        ("level=warning", ["nearly bad"]),
        ("level=error", []),
        ("attempt=1&stream=stderr", ["oops"]),
        ("attempt=3", []),
        ("limit=2", ["starting", "half way"]),
    ],
)
def test_filters(client: FlaskClient, database: Database, query: str, found: list[str]) -> None:
    order = factories.order_in(database, COMPLETED).id
    said(database, order)
    assert lines(asked(client, order, f"?{query}")) == found


def test_attempts_are_told_apart(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    said(database, order)
    said(database, order, lease=2)
    assert len(lines(asked(client, order))) == 8
    assert {item["lease"] for item in asked(client, order, "?attempt=2")["items"]} == {2}


def test_where_lines_were_dropped_there_is_a_mark(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    marked = [(0, DROPPED, 12_345, ""), (1, "stdout", None, "after"), (2, DROPPED, 1, "")]
    keep_lines(database, [log_page(order, 1, 1, 1, marked)], ())
    answer = asked(client, order)
    assert answer["dropped"] == 12_346
    assert lines(answer) == ["… 12,345 lines dropped", "after", "… 1 line dropped"]
    assert [item["stream"] for item in answer["items"]] == [DROPPED, "stdout", DROPPED]
    assert lines(asked(client, order, "?stream=stdout")) == lines(answer), "gaps are never hidden"


def test_plain_text_for_who_asks_for_it(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, WIP).id
    said(database, order)
    response = client.get(f"/api/v1/jobs/{order}/logs", headers={"Accept": "text/plain"})
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.text.splitlines() == [
        "1970-01-01T00:00:00.000Z stdout starting",
        "1970-01-01T00:00:00.001Z info half way",
        "1970-01-01T00:00:00.002Z stderr oops",
        "1970-01-01T00:00:00.003Z warning nearly bad",
    ]
    assert 'rel="next"' in response.headers["Link"]
    assert "Accept" in response.headers["Vary"]
    for accepted in ("*/*", "application/json", "text/html"):
        other = client.get(f"/api/v1/jobs/{order}/logs", headers={"Accept": accepted})
        assert other.content_type == "application/json"


@pytest.mark.parametrize("status", [PENDING, CANCELLED])
def test_an_order_that_said_nothing(client: FlaskClient, database: Database, status: str) -> None:
    order = factories.order_in(database, status).id
    assert asked(client, order) == {"items": [], "nextCursor": "0", "dropped": 0}


def test_bad_questions(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, PENDING).id
    address = f"/api/v1/jobs/{order}/logs"
    problem(client.get(f"/api/v1/jobs/{NOBODY}/logs"), 404)
    problem(client.get("/api/v1/jobs/nonsense/logs"), 404)
    problem(client.post(address), 405)
    for query, field in [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("stream=stdin", "stream"),
        ("level=loud", "level"),
        ("attempt=0", "attempt"),
        ("cursor=1", "cursor"),
    ]:
        assert fields_of(client.get(f"{address}?{query}")) == {field}

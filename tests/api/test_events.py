"""The history of events over HTTP: sentences for people, pages, filters, and no secrets."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

import ledger
from api import cursors
from api.event_presenter import SENTENCES, described, event
from database import Database, Sql
from ledger import Request, retention, schedules
from ledger.audit import audit, correct_levels
from ledger.events import EventItem
from ledger.ids import pack
from ledger.workers import WorkerNews, report_workers
from models import COMPLETED, PENDING, RETRIEVED
from tests import factories
from tests.api.calls import NOBODY, fields_of, submitted
from tests.house.project import ROOT, python_files
from tests.ledger.timetable import created
from tests.ledger.troubles import claimed_by, manager, worked_off

WORKER = f"{factories.MANAGER}/1"


def listed(client: FlaskClient, query: str = "") -> list[dict[str, Any]]:
    response = client.get(f"/api/v1/events{query}")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json["items"]  # type: ignore[index]
    return items


def sentences(client: FlaskClient, query: str = "") -> list[str]:
    return [item["description"] for item in listed(client, query)]


def test_an_event_has_its_time_its_sentence_and_whom_it_concerns(
    client: FlaskClient, database: Database
) -> None:
    order = submitted(client)
    (item,) = listed(client)
    assert re.fullmatch(r"\d+-0", item.pop("id"))
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item.pop("timestamp"))
    assert item == {
        "event": "submitted",
        "description": f"task {order} (add) submitted",
        "job": order,
        "type": "add",
        "worker": None,
        "manager": None,
        "details": {},
    }


def test_the_life_of_an_order_in_sentences(client: FlaskClient, database: Database) -> None:
    order = submitted(client, maxAttempts=3)
    (claimed,) = factories.claim(database)
    task = f"task {order} (add)"
    assert sentences(client)[0] == f"{task} taken by manager {factories.MANAGER}"
    told = {"spent": 1, "allowed": 3, "delay_ms": 4_200}
    again = factories.ending(claimed, PENDING, kind="retrying", **told)
    ledger.finish(database, factories.MANAGER, [again])
    assert sentences(client)[:2] == [
        f"{task} retrying 2/3 in 4.2 s, after an error on worker {WORKER}",
        f"{task} assigned to worker {WORKER}",
    ]
    ledger.cancel(database, order)
    ledger.retry(database, order)
    (claimed,) = factories.claim(database)
    ledger.finish(database, factories.MANAGER, [factories.ending(claimed)])
    client.get(f"/api/v1/job/{order}")
    assert sentences(client)[:5] == [
        f"result of {task} collected",
        f"{task} completed by worker {WORKER}",
        f"{task} assigned to worker {WORKER}",
        f"{task}, which was cancelled, is to run again",
        f"{task} cancelled",
    ]
    own = listed(client, f"?job={order}")
    assert sorted(item["event"] for item in own) == sorted(i["event"] for i in listed(client))
    retrying = next(item for item in own if item["event"] == "retrying")
    assert retrying["details"] == {
        **{"attempt": 1, "outcome": "error", "spent": 1, "allowed": 3, "delayMs": 4_200},
    }


def test_what_a_real_manager_writes_says_which_attempt_comes(
    client: FlaskClient, database: Database
) -> None:
    factories.submit(database, type="fail", payload='{"after":60}')
    factories.submit(database, type="nowhere")
    hand = worked_off(database, "m1")
    hand.work_off()
    ours = {item["event"]: item["description"] for item in listed(client)}
    assert re.search(r"\(fail\) retrying 2/3 in 1 min, after an error on worker ", ours["retrying"])
    assert ours["unknown_type"].endswith(
        "(nowhere) handed back: m1 does not know its type; it is due again in 30 s"
    )
    assert ours["manager_started"] == "manager m1 started with up to 1 workers"


def test_workers_schedules_queues_and_managers_in_sentences(
    client: FlaskClient, database: Database
) -> None:
    manager(database)
    order = submitted(client)
    news = [
        WorkerNews("worker_added", "m1/1"),
        WorkerNews("worker_removed", "m1/2"),
        WorkerNews("worker_replaced", "m1/3", order),
        WorkerNews("worker_replaced", "m1/4", order, "Crashed"),
        WorkerNews("worker_lost", "m1/5"),
    ]
    report_workers(database, "m1", [], news=news)
    created(database)
    made, _ = schedules.run(database, "nightly", Request([factories.new_order()]))
    schedules.set_enabled(database, "nightly", enabled=False)
    ledger.pause(database)
    ledger.resume(database, "images")
    ledger.retire(database, "m1", "told to stop")
    assert sentences(client)[:11] == [
        "manager m1 stopped: told to stop",
        "queue images resumed",
        "all queues paused",
        "schedule nightly paused",
        f"schedule nightly run by hand: task {made.id} (add)",
        f"task {made.id} (add) submitted",
        "schedule nightly created",
        "worker m1/5 was lost: an error ended its thread, and another took its place",
        f"worker m1/4 lost its process while it ran task {order} (add), and gets another: Crashed",
        f"worker m1/3 hangs in task {order} (add): left behind, and another put in its place",
        "worker m1/2 removed from the pool",
    ]
    (added,) = listed(client, "?kind=worker_added")
    assert (added["description"], added["worker"]) == ("worker m1/1 added to the pool", "m1/1")


def test_orders_taken_back_in_sentences(client: FlaskClient, database: Database) -> None:
    order = factories.submit(database)
    claimed_by(database, "m1")
    factories.make_stale(database, order)
    ledger.rescue(database, 1_000)
    (item,) = listed(client, "?manager=m1&kind=rescued")
    text = f"task {order} (add) taken back from m1, which gave no sign of life; it is due again in "
    assert item["description"].startswith(text)
    assert item["manager"] == "m1"


def test_house_keeping_in_sentences(client: FlaskClient, database: Database) -> None:
    retention.tell(database, "m1", {"orders": 1_200, "events": 3})
    order = factories.order_in(database, COMPLETED).id
    forged = Sql("UPDATE job_order SET status = 'failed' WHERE id = :id")
    database.write(lambda tx: tx.run(forged, {"id": database.key(order)}))
    audit(database, "m1", 30_000, {})
    correct_levels(database)
    texts = [item["description"] for item in listed(client, "?kind=retention_deleted")]
    assert texts == ["what was older than its retention deleted: 1200 orders, 3 events"]
    found = [item["description"] for item in listed(client, "?kind=audit_found")]
    assert any(text.startswith("the audit found ") and order in text for text in found)
    (corrected,) = listed(client, "?kind=levels_corrected")
    assert "completed was +1 off" in corrected["description"]


def test_a_kind_without_a_sentence_is_told_by_its_name() -> None:
    item = EventItem(1, 0, 0, "of_tomorrow", None, None, None, {})
    assert described(item) == "of tomorrow"
    assert described(item._replace(manager="m1")) == "m1: of tomorrow"
    assert described(item._replace(order_id=NOBODY)) == f"task {NOBODY}: of tomorrow"
    for kind in ("retrying", "failed", "schedule_missed", "queue_paused", "cancelled"):
        bare = item._replace(kind=kind, order_id=NOBODY)
        assert event(bare)["description"], "older rows say less"


def test_every_kind_that_is_written_has_a_sentence() -> None:
    """Those that the code names, and those that it works out: moves, and what workers meet."""
    named = {
        argument.value
        for path in python_files(ROOT / "ledger")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        for argument in _kind_of(call)
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    worked_out = {"completed", "failed", "retrying", "handed_back", "unknown_type", "rescued"}
    workers = {f"worker_{change}" for change in ("added", "removed", "replaced", "lost")}
    assert len(named) > 15
    assert sorted((named | worked_out | workers | {"crashed"}) - SENTENCES.keys()) == []


def _kind_of(call: ast.Call) -> list[ast.expr]:
    match call.func:
        case ast.Attribute(attr="event"):
            return call.args[:1]
        case ast.Name(id="note"):
            return call.args[1:2]
    return []


def test_pages_follow_each_other_also_within_a_row(client: FlaskClient, database: Database) -> None:
    orders = [factories.new_order() for _ in range(12)]
    ids = ledger.submit(database, [Request(orders)])[0].ids[::-1]
    found: list[str] = []
    address: str | None = "/api/v1/events?limit=5&kind=submitted"
    while address:
        response = client.get(address)
        page: Any = response.json
        found += [item["job"] for item in page["items"]]
        link = response.headers.get("Link")
        assert (link is None) == (page["nextCursor"] is None)
        address = link.split(">")[0].lstrip("<") if link else None
    assert found == ids


def test_filters_and_what_they_refuse(client: FlaskClient, database: Database) -> None:
    order = factories.order_in(database, COMPLETED).id
    assert [i["event"] for i in listed(client, "?kind=completed,claimed")] == [
        "completed",
        "claimed",
    ]
    assert [i["event"] for i in listed(client, f"?worker={WORKER}")] == ["completed", "claimed"]
    newest = listed(client, "?limit=1")[0]
    assert listed(client, f"?since={newest['timestamp']}&limit=1") == [newest]
    assert listed(client, "?since=2100-01-01T00:00:00Z") == []
    assert listed(client, f"?job={NOBODY}") == []
    assert listed(client, "?kind=no_such_kind") == []
    cursor = client.get("/api/v1/events?limit=1").json["nextCursor"]  # type: ignore[index]
    for query, names in {
        "?job=x": {"job"},
        f"?job={order}&cursor={cursor}": {"cursor"},
        "?cursor=abc": {"cursor"},
        "?limit=0": {"limit"},
        "?since=yesterday": {"since"},
        "?kind=a%00b": {"kind"},
        "?colour=red": {"colour"},
    }.items():
        assert fields_of(client.get(f"/api/v1/events{query}")) == names, query


def test_a_cursor_with_impossible_numbers_is_refused(client: FlaskClient) -> None:
    asked: dict[str, Any] = {
        "since": None,
        "kind": [],
        "job": None,
        "worker": None,
        "manager": None,
    }
    for numbers in ([2**63, 0, 0, 0], [2**64 - 1] * 4):
        made = cursors.make_of_numbers(numbers, asked)
        assert fields_of(client.get(f"/api/v1/events?cursor={made}")) == {"cursor"}
    most = cursors.make_of_numbers([2**62] * 4, asked)
    assert client.get(f"/api/v1/events?cursor={most}").json["items"] == []  # type: ignore[index]


def test_no_payload_and_no_result_is_in_it(client: FlaskClient, database: Database) -> None:
    secret = json.dumps({"password": "hunter2", "num1": "hunter2"})
    factories.submit(database, payload=secret)
    (claimed,) = factories.claim(database)
    ending = factories.ending(claimed, result='"hunter2"')
    ledger.finish(database, factories.MANAGER, [ending])
    order_id = factories.submit(database, payload=secret)
    (claimed,) = factories.claim(database)
    error = '{"type":"E","message":"hunter2"}'
    ledger.finish(database, factories.MANAGER, [factories.ending(claimed, "failed", error=error)])
    for query in ("", f"?job={order_id}"):
        assert "hunter2" not in client.get(f"/api/v1/events{query}").text


@pytest.mark.parametrize("query", ["?job={order}", "?kind=retrying"])
def test_a_search_says_how_far_it_came(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(ledger.events.walk, "WINDOW_SECONDS", 0)
    order = factories.order_in(database, RETRIEVED).id
    one = {"orders": pack([ledger.new_id()])}
    fill = Sql("INSERT INTO event (at, kind, n, orders) VALUES ({now}, 'other', 1, :orders)")
    database.write(lambda tx: tx.many(fill, [one] * 300))
    response: Any = client.get(f"/api/v1/events{query.format(order=order)}").json
    assert response["searchedTo"].endswith("Z")
    assert response["nextCursor"]

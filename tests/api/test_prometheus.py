"""The figures for Prometheus: right in every process, bounded, and as Prometheus wants them."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

import ledger
from api import exposition
from api.services import services
from database import Database, Sql
from ledger import Lane, Request
from models import CANCELLED, COMPLETED, FAILED, PENDING
from settings import VERSION
from tests import factories
from tests.api.test_server import serving
from tests.ledger.troubles import claimed_by, worked_off
from tests.servers.promtool import complaints
from tests.support import wait_until

BACK = Sql("UPDATE job_order SET run_at = run_at - 3000, created_on = created_on - 3000")


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "FRESH_SECONDS", 0)
    monkeypatch.setattr("api.figures.FRESH_SECONDS", 0)


def scraped(client: FlaskClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every value of the text, by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("text/plain; version=")
    return {
        (sample.name.removeprefix("capataz_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(
    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str
) -> float | None:
    return values.get((name, frozenset(labels.items())))


def test_what_happened_is_counted_by_type_and_outcome(
    client: FlaskClient, database: Database
) -> None:
    ledger.submit(database, [Request([factories.new_order() for _ in range(5)])])
    good, bad, again, waiting = factories.claim(database, free=4)
    database.write(lambda tx: tx.run(BACK))
    ends = [
        factories.ending(good, run_ms=3),
        factories.ending(bad, FAILED, run_ms=70_000),
        factories.ending(again, PENDING, run_ms=0),
    ]
    ledger.finish(database, factories.MANAGER, ends)
    ledger.cancel(database, waiting.id)
    values = scraped(client)
    assert value(values, "orders_submitted_total", type="add") == 5
    for outcome in (COMPLETED, FAILED, CANCELLED):
        assert value(values, "orders_ended_total", type="add", outcome=outcome) == 1
    assert value(values, "orders_returned_total", type="add") == 1
    assert value(values, "orders", status=PENDING) == 2
    assert value(values, "queue_pending_orders", queue="default") == 2
    assert (value(values, "oldest_pending_seconds") or 0) >= 3
    runs = {
        le: value(values, "order_run_seconds_bucket", type="add", le=le)
        for le in ("0.001", "0.004", "65.536", "262.144", "+Inf")
    }
    assert runs == {"0.001": 1, "0.004": 2, "65.536": 2, "262.144": 3, "+Inf": 3}
    assert value(values, "order_run_seconds_sum", type="add") == 70.003
    assert value(values, "order_wait_seconds_count", type="add") == 4
    ledger.fold(database)
    assert (
        scraped(client).items()
        >= {one: n for one, n in values.items() if one[0] != "oldest_pending_seconds"}.items()
    )


def test_a_wait_counts_from_when_an_order_could_run(
    client: FlaskClient, database: Database
) -> None:
    factories.submit(database)
    database.write(lambda tx: tx.run(BACK))
    factories.claim(database)
    values = scraped(client)
    assert value(values, "order_wait_seconds_bucket", type="add", le="1.024") == 0
    assert value(values, "order_wait_seconds_bucket", type="add", le="65.536") == 1
    figures = client.get("/api/v1/metrics").json
    assert figures["averageExecutionTimeMs"] == 0  # type: ignore[index]


def test_workers_managers_and_audits(app: Flask, client: FlaskClient, database: Database) -> None:
    worked_off(database, "m1")
    values = scraped(client)
    assert value(values, "managers") == 1
    assert value(values, "workers", state="busy") == 0
    assert value(values, "build_info", version=VERSION) == 1
    assert services(app).exposition.text() == client.get("/metrics").data


def test_names_are_bounded(
    client: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposition, "MOST_NAMES", 2)
    for name in "abcd":
        factories.submit(database, type=name, queue=name)
        claimed_by(database, "m1", queue=name) if name == "d" else None
    values = scraped(client)
    types = {n[1] for n in values if n[0] == "orders_submitted_total"}
    assert types == {frozenset({("type", name)}) for name in ("a", "b", "other")}
    assert value(values, "orders_submitted_total", type="other") == 2
    assert value(values, "queue_pending_orders", queue="other") == 1
    assert value(values, "order_wait_seconds_count", type="other") == 1


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "used"])
def test_promtool_has_nothing_against_it(
    client: FlaskClient, database: Database, empty: bool
) -> None:
    if not empty:
        for status in (COMPLETED, FAILED, CANCELLED, PENDING):
            factories.order_in(database, status, type='odd"\\name')
        lanes = [Lane("default", 2)]
        assert ledger.claim(database, "m1", lanes, 1)
    assert complaints(client.get("/metrics").data) == ""


def test_every_process_says_the_same(database_url: str, database: Database) -> None:
    with serving(database_url, WEB_CONCURRENCY="2") as server:
        for number in range(10):
            assert server.call("POST", f"/api/v1/add/{number}/1")[0] == 202
        told = 'capataz_orders_submitted_total{type="add"} 10.0'

        def agree() -> bool:
            texts = [_text(server.port) for _ in range(10)]
            return all(told in text for text in texts)

        wait_until(agree)


def _text(port: int) -> str:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        link.request("GET", "/metrics")
        return link.getresponse().read().decode()
    finally:
        link.close()

"""The examples, and `produce --via`: real managers run what they send."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from commands.producing import PROGRAMS
from database import Sql
from tests.crash.harness import Site
from tests.intake.conftest import Broker
from tests.ledger.evidence import counted
from tests.servers.nats import Nats
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[2]
TASKS = Sql("SELECT type FROM job_order")


def elsewhere(call: Callable[..., Any], *given: Any) -> Any:
    """On a thread of its own: a loop that some browser has may run on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *given).result()


def test_what_is_produced_by_a_broker_is_run(
    database_url: str, tmp_path: Path, broker: Broker, nats_server: Nats, rabbitmq: str
) -> None:
    """A short task instead of the long ones; the program itself is the example's."""
    settings = {"transport": broker.name, "nats_url": nats_server.url, "rabbitmq_url": rabbitmq}
    site = Site(database_url, tmp_path)
    try:
        site.manager(**settings)
        program = importlib.import_module(PROGRAMS[broker.name])
        url = nats_server.url if broker.name == "nats" else rabbitmq
        task = {"type": "add", "payload": {"num1": 1, "num2": 2}}
        with broker.producer() as producer:
            wait_until(producer.is_ready, "there is where to publish")
        ids = elsewhere(program.publish, url, [task] * 3)
        assert len(set(ids)) == 3
        wait_until(lambda: counted(site.database) == {"completed": 3})
        with pytest.raises(Exception, match="refused"):
            elsewhere(program.publish, url, [task | {"type": "nothing"}])
        produce = site.run(
            "produce", ["manage.py", "produce", "--count", "3", "--via", broker.name], **settings
        )
        assert produce.wait(40) == 0, produce.output
        assert "3 of 3 completed" in produce.output
    finally:
        site.close()


def test_what_is_produced_over_http_is_run(database_url: str, tmp_path: Path) -> None:
    site = Site(database_url, tmp_path)
    try:
        site.manager()
        api = site.api()
        url = f"http://127.0.0.1:{api.port}"
        arguments = ["manage.py", "produce", "--count", "3", "--via", "http", "--url", url]
        produce = site.run("produce", arguments)
        away = site.run("away", ["manage.py", "produce", "--via", "nats"])
        assert away.wait() == 2
        assert "NATS_URL is not set: set it, or say --url" in away.output
        assert produce.wait(40) == 0, produce.output
        assert "3 of 3 completed" in produce.output
        assert site.database.read(TASKS) == [("sleep",)] * 3
    finally:
        site.close()

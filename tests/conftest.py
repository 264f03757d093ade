"""Fixtures that every test may ask for: a migrated database of its own, on each of the two."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

import migrations
import models
from database import Database
from jobs import registry
from tests.servers.nats import Nats
from tests.servers.postgres import Postgres, postgres_server
from tests.servers.rabbitmq import RabbitServer
from tests.support import wait_until
from tests.transports.brokers import NAMES as BROKERS
from tests.transports.brokers import Broker, running

DIALECTS = ("sqlite", "postgresql")
TEMPLATE = "capataz_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server; what it promises about power cuts is not what these tests ask."""
    with postgres_server(fsync=False) as server:
        url = server.create_database(TEMPLATE)
        database = Database(url)
        migrations.migrate(database)
        database.close()
        yield server
        server.drop_database(TEMPLATE)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "capataz.db"
    database = Database(f"sqlite:///{path}")
    migrations.migrate(database)
    database.close()
    return path


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own."""
    if request.param == "sqlite":
        path = tmp_path / "capataz.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.fresh_database(template=TEMPLATE) as url:
        yield url


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Nats]:
    """A real NATS server, for all that do not stop it."""
    with Nats() as server:
        yield server


@pytest.fixture
def nats(nats_server: Nats) -> Nats:
    """That server, with nothing in its store."""
    nats_server.empty()
    return nats_server


@pytest.fixture(scope="session")
def brokers() -> Iterator[Callable[[str], Broker]]:
    """Each broker by its name, started when it is first asked for, for all that do not stop it."""
    started: dict[str, Broker] = {}
    with ExitStack() as stack:

        def find(name: str) -> Broker:
            if name not in started:
                started[name] = stack.enter_context(running(name))
            return started[name]

        yield find


@pytest.fixture(scope="session")
def mortal_rabbitmq() -> Iterator[RabbitServer]:
    """A RabbitMQ of our own that may be killed and wiped, and runs again afterwards."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """That database, opened."""
    opened = Database(database_url)
    models.bind(opened.orm)
    yield opened
    opened.close()


@pytest.fixture(scope="session", autouse=True)
def built_in_types() -> None:
    registry.load()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or a child process running."""
    if "postgresql" in request.node.name:
        request.getfixturevalue("postgres")  # the server outlives the test that first asked for it
    if "brokers" in request.fixturenames:
        for broker in (name for name in BROKERS if name in request.node.name):
            request.getfixturevalue("brokers")(broker)
    if "mortal" in request.fixturenames and "rabbitmq" in request.node.name:
        request.getfixturevalue("mortal_rabbitmq")
    threads = set(threading.enumerate())
    me = psutil.Process()
    children = {child.pid for child in me.children()}
    yield

    def left() -> list[str]:
        return [t.name for t in threading.enumerate() if t not in threads] + [
            str(child) for child in me.children() if child.pid not in children
        ]

    wait_until(lambda: not left(), f"left running after the test: {left()}", timeout=5)

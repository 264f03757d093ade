"""Behind a pooler in transaction mode everything works, and leaves nothing with its connections."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest

import migrations
from database import Database, DatabaseAway, Sql
from database.pooler import SETTINGS
from ledger.hints import WORK, Bell, Listener
from models import ENDED
from tests.ledger import evidence
from tests.ledger.crowd import Crowd, Watched
from tests.ledger.test_contention import agrees
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres
from tests.support import wait_until

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 3
REPEATS = 60
DONE = (
    "claimed", "renewed", "succeeded", "rescued", "cancelled", "retried", "deleted", "folded"
)  # fmt: skip
LONG = 60.0

ADD = Sql("INSERT INTO queue (name, created_on) VALUES (:name, 0)")
NAMES = Sql("SELECT name FROM queue")
TABLES = Sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
LOCKS = Sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
LISTENING = Sql("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query ILIKE 'LISTEN%'""")
KILL = Sql("""
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()""")
NOW_SET = Sql(f"SELECT {', '.join(f'''current_setting('{name}')''' for name in SETTINGS)}")

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def pooler(postgres: Postgres) -> Iterator[PgBouncer]:
    with PgBouncer(postgres.url("postgres"), connections=CONNECTIONS) as started:
        yield started


@pytest.fixture
def pooled(pooler: PgBouncer, database_url: str) -> Iterator[Database]:
    """The database of the test by way of the pooler."""
    opened = Database(pooler.url(database_url))
    yield opened
    opened.close()


def left_behind(pooled: Database) -> set[tuple[str, ...]]:
    """What a stranger finds on each of the pooler's connections: settings, and how much was
    prepared or is listened to."""
    found, pids = set(), set()
    look = (
        f"{NOW_SET.postgres}, (SELECT count(*)::text FROM pg_prepared_statements), "
        "(SELECT count(*)::text FROM pg_listening_channels()), pg_backend_pid()"
    )
    with ExitStack() as strangers:
        for _ in range(CONNECTIONS):
            connection = strangers.enter_context(
                psycopg.connect(pooled.url, prepare_threshold=None)
            )
            *settings, pid = connection.execute(look).fetchone() or ()
            found.add(tuple(settings))
            pids.add(pid)
    assert len(pids) == CONNECTIONS, "each kept one in a transaction"
    return found


def add(database: Database, name: str) -> None:
    database.write(lambda tx: tx.many(ADD, [{"name": name}]))


def untouched(pooled: Database) -> bool:
    """Whether all of the pooler's connections are as the server made them."""
    return left_behind(pooled) == left_behind_by_nobody(pooled)


def left_behind_by_nobody(pooled: Database) -> set[tuple[str, ...]]:
    with psycopg.connect(pooled.url) as connection:
        names = ", ".join(
            f"(SELECT reset_val FROM pg_settings WHERE name ILIKE '{name}')" for name in SETTINGS
        )
        return {(*(connection.execute(f"SELECT {names}").fetchone() or ()), "0", "0")}


def test_a_pooler_is_seen(database: Database, pooled: Database) -> None:
    assert not pooled.pooled, "not known before the first connection"
    for one in (database, pooled):
        assert one.read(Sql("SELECT 1")) == [(1,)]
    assert (database.pooled, pooled.pooled) == (False, True)


def test_every_statement_has_its_settings_and_leaves_none(
    database: Database, pooled: Database
) -> None:
    wanted = [tuple(SETTINGS.values())]
    assert database.read(NOW_SET) == wanted
    assert pooled.read(NOW_SET) == wanted
    assert pooled.write(lambda tx: tx.rows(NOW_SET)) == wanted
    with pooled.session():
        assert pooled.read(NOW_SET) == wanted
    assert untouched(pooled)


def test_nothing_is_prepared_however_often_it_is_repeated(pooled: Database) -> None:
    def work(thread: int) -> Callable[[], None]:
        def write_and_read() -> None:
            for one in range(REPEATS):
                name = f"{thread}-{one}"
                add(pooled, name)
                assert (name,) in pooled.read(NAMES)

        return write_and_read

    threads = 3 * CONNECTIONS
    evidence.at_once([work(thread) for thread in range(threads)])
    assert len(pooled.read(NAMES)) == threads * REPEATS
    assert untouched(pooled)


def test_nothing_is_sent_after_what_gives_the_connection_back(
    pooled: Database, tmp_path: Path
) -> None:
    """PgBouncer would take another of the server's connections for it, and keep that."""
    slow = Sql("SELECT pg_sleep(0.1)")
    works: tuple[Callable[[], object], ...] = (
        lambda: pooled.read(slow),
        lambda: pooled.write(lambda tx: tx.run(slow)),
        lambda: pooled.write(lambda tx: tx.rows(slow)),
    )
    with pooled.session() as connection, (tmp_path / "trace").open("w+") as trace:
        connection.pgconn.trace(trace.fileno())
        for work in works:
            work()
        connection.pgconn.untrace()
        trace.seek(0)
        messages = [line.split("\t") for line in trace]
    sent = [kind for _, sender, _, kind, *_ in messages if sender == "F"]
    assert sent.count("Sync\n") == len(works)
    after = [sent[nth + 1] for nth, kind in enumerate(sent[:-1]) if kind == "Sync\n"]
    assert set(after) == {"Parse"}
    assert sent[-1] == "Sync\n"


def test_a_crowd_agrees_with_the_record(database: Database, pooled: Database) -> None:
    watched = Watched(pooled.url)
    crowd = Crowd(watched)
    works = crowd.works()
    assert len(works) > CONNECTIONS

    def enough() -> None:
        try:
            wait_until(
                lambda: min(crowd.did[what] for what in DONE) >= REPEATS, "all is done often"
            )
            wait_until(lambda: crowd.did["late"], "something came too late", LONG)
        finally:
            crowd.stop.set()

    evidence.at_once([enough, *works])

    def ended() -> bool:
        crowd.drain()
        return set(evidence.counted(watched)) <= set(ENDED)

    wait_until(ended, "every order ends")
    agrees(database, crowd)
    watched.close()
    assert untouched(pooled)


def test_broken_statements_leave_the_connection_in_order(pooled: Database) -> None:
    wrong = Sql("SELECT no_such_column FROM queue")
    for _ in range(2 * CONNECTIONS):
        with pytest.raises(psycopg.errors.UndefinedColumn):
            pooled.read(wrong)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            pooled.write(lambda tx: tx.rows(wrong))
        with pytest.raises(ZeroDivisionError):
            pooled.write(lambda tx: tx.run(ADD, {"name": str(1 / 0)}))
    assert pooled.read(NAMES) == []
    assert untouched(pooled)


def test_migrating_up_and_down(database: Database, pooled: Database) -> None:
    tables = database.read(TABLES)
    names = sorted(file.stem for file in migrations.DIRECTORY.glob("0*.py"))
    for _ in range(2):
        assert migrations.revert(pooled, names[0]) == list(reversed(names))
        assert migrations.pending(pooled) == names
        assert migrations.migrate(pooled) == names
        assert database.read(LOCKS) == [(0,)]
    assert database.read(TABLES) == tables
    assert untouched(pooled)


def test_two_release_processes_at_once_both_end_well(
    postgres: Postgres, pooler: PgBouncer, database_url: str
) -> None:
    with postgres.fresh_database() as url:
        environment = {**os.environ, "DATABASE_URL": pooler.url(url)}
        releases = [
            subprocess.Popen(
                [sys.executable, "manage.py", "migrate"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        said = sorted(release.communicate(timeout=LONG)[0] for release in releases)
        assert [release.returncode for release in releases] == [0, 0]
        assert said[1] == "nothing to apply: the schema is up to date\n"
        direct = Database(url)
        assert migrations.pending(direct) == []
        assert direct.read(LOCKS) == [(0,)]
        direct.close()


@pytest.mark.parametrize("what", ["the pooler starts anew", "the server ends all connections"])
def test_an_outage_is_got_over_and_told_truly(
    database: Database, pooled: Database, pooler: PgBouncer, what: str
) -> None:
    stop = threading.Event()
    written: list[str] = []
    not_written: list[str] = []

    def write() -> None:
        try:
            for nth in count():
                if stop.is_set():
                    return
                name = f"{threading.get_ident()}-{nth}"
                try:
                    add(pooled, name)
                    written.append(name)
                except DatabaseAway as away:
                    if away.nothing_done:
                        not_written.append(name)
        finally:
            stop.set()

    def more_is_written() -> None:
        enough = len(written) + 100
        wait_until(lambda: len(written) > enough, "work goes on", LONG)

    def disturb() -> None:
        try:
            for _ in range(5):
                more_is_written()
                pooler.restart() if what.startswith("the pooler") else database.read(KILL)
            more_is_written()
        finally:
            stop.set()

    evidence.at_once([disturb, *[write] * 2 * CONNECTIONS])
    kept = {name for (name,) in database.read(NAMES)}
    assert set(written) <= kept, "what was acknowledged is there"
    assert not kept & set(not_written), "and what was surely not done is not"


def test_a_listener_does_not_listen_and_says_so(
    database: Database, pooled: Database, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    listener = Listener(pooled, "test", heard.append)
    listener.start()
    bell = Bell(database)
    bell.ring()
    bell.close()
    assert database.read(LISTENING) == [(0,)]
    listener.close()
    assert heard == []
    assert [r.getMessage() for r in caplog.records if "wake-ups" in r.getMessage()] == [
        "no wake-ups behind a pooler: only polling finds orders and cancels"
    ]
    assert untouched(pooled)


def test_a_bell_behind_a_pooler_is_heard_by_who_has_a_direct_connection(
    database: Database, pooled: Database
) -> None:
    heard: list[str] = []
    listener = Listener(database, "test", heard.append)
    listener.start()
    bell = Bell(pooled)
    bell.ring()
    wait_until(lambda: heard == [WORK], "the hint arrives")
    bell.close()
    listener.close()
    assert untouched(pooled)

"""The migrated schema is the models', and migrating is safe twice and two at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
import models
from database import Database, Sql
from tests.servers.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted(file.stem for file in (ROOT / "migrations").glob("0*.py"))

COLUMNS = Sql(
    "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = 'public' AND table_name <> 'schema_migration' ORDER BY 1, 2"
)
INDEXES = Sql(
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename <> 'schema_migration' ORDER BY 1"
)
CHECKS = Sql(
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' "
    "AND connamespace = 'public'::regnamespace ORDER BY 1"
)
SQLITE_COLUMNS = Sql(
    "SELECT m.name, c.name, CASE WHEN c.type LIKE '%INT%' "
    "THEN 'INTEGER' ELSE upper(c.type) END, c.\"notnull\", c.pk FROM sqlite_master m "
    "JOIN pragma_table_info(m.name) c WHERE m.type = 'table' "
    "AND m.name NOT LIKE 'schema_migration%' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
)
SQLITE_INDEXES = Sql(
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
    "AND tbl_name <> 'schema_migration' ORDER BY name"
)


@pytest.fixture
def empty(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A database without any table, of the same kind as `database_url`."""
    if database_url.startswith("sqlite"):
        yield Database(f"sqlite:///{tmp_path}/empty.db")
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.fresh_database() as url:
        opened = Database(url)
        yield opened
        opened.close()


def described(database: Database) -> dict[str, list[tuple[object, ...]]]:
    if database.dialect == "sqlite":
        indexes = [(name, plain(sql)) for name, sql in database.read(SQLITE_INDEXES)]
        return {"columns": database.read(SQLITE_COLUMNS), "indexes": list(indexes)}
    return {
        "columns": database.read(COLUMNS),
        "indexes": database.read(INDEXES),
        "checks": database.read(CHECKS),
    }


def plain(sql: str) -> str:
    return re.sub(r"[\s\"()]+", " ", sql.replace("IF NOT EXISTS ", "")).replace(" ,", ",").strip()


def test_the_migrated_schema_equals_the_models(database: Database, empty: Database) -> None:
    models.bind(empty.orm)
    models.database.create_tables(models.TABLES)
    assert described(empty) == described(database)


def test_migrating_twice_applies_nothing_the_second_time(empty: Database) -> None:
    assert migrations.pending(empty)
    assert migrations.migrate(empty)
    assert migrations.migrate(empty) == []
    assert migrations.pending(empty) == []


def test_down_takes_everything_back_and_up_brings_it_again(empty: Database) -> None:
    first = migrations.migrate(empty)
    before = described(empty)
    assert migrations.revert(empty, first[0]) == list(reversed(first))
    assert described(empty)["columns"] == []
    assert migrations.migrate(empty) == first
    assert described(empty) == before


def test_two_release_processes_at_once_both_end_well(empty: Database) -> None:
    command = [sys.executable, "manage.py", "migrate"]
    environment = {**os.environ, "DATABASE_URL": empty.url}
    releases = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(release.communicate(timeout=60)[0] for release in releases)
    assert [release.returncode for release in releases] == [0, 0]
    applied = "".join(f"applied {name}\n" for name in ALL)
    assert said == [applied, "nothing to apply: the schema is up to date\n"]
    assert migrations.pending(empty) == []


def test_sqlite_writes_ahead_and_syncs_every_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/durable.db")
    assert database.read(Sql("PRAGMA journal_mode")) == [("wal",)]
    assert database.read(Sql("PRAGMA synchronous")) == [(2,)], "2 is FULL"

"""Schedules: orders to come by a cron expression."""

from __future__ import annotations

from typing import Any

import peewee

TABLE = """
CREATE TABLE schedule (
    name TEXT NOT NULL PRIMARY KEY,
    expression TEXT NOT NULL,
    timezone TEXT NOT NULL,
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    max_attempts INTEGER NOT NULL,
    timeout_ms BIGINT NOT NULL,
    max_silence_ms BIGINT,
    tags TEXT,
    owner TEXT NOT NULL,
    enabled SMALLINT NOT NULL,
    created_on BIGINT NOT NULL,
    changed_on BIGINT NOT NULL,
    next_fire BIGINT,
    last_fire BIGINT,
    last_order {uuid},
    CONSTRAINT schedule_forward CHECK (next_fire > last_fire)
)"""
INDEX = "CREATE INDEX schedule_due ON schedule (next_fire)"


def up(_migrator: Any, db: Any) -> None:
    sqlite = isinstance(db, peewee.SqliteDatabase)
    db.execute_sql(TABLE.format(uuid="BLOB" if sqlite else "UUID"))
    db.execute_sql(INDEX)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE schedule")

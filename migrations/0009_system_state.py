"""What is remembered of the system's state, samples of what workers use, and who paused a queue."""

from __future__ import annotations

from typing import Any

import peewee

NOW = {
    "sqlite": "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)",
}

STATE = """
CREATE TABLE system_state (
    id SMALLINT NOT NULL PRIMARY KEY,
    begun_on BIGINT NOT NULL,
    sampled_on BIGINT NOT NULL,
    pressed_since BIGINT,
    load_from BIGINT,
    load_until BIGINT,
    trouble_from BIGINT,
    trouble_until BIGINT,
    trouble TEXT,
    away_until BIGINT
)"""
# A system that was just set up is stable from then on.
BEGIN = "INSERT INTO system_state (id, begun_on, sampled_on) VALUES (1, {now}, 0)"

SAMPLES = """
CREATE TABLE usage_sample (
    grain INTEGER NOT NULL,
    at BIGINT NOT NULL,
    manager TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (grain, at, manager)
)"""

PAUSED_BY = "ALTER TABLE queue ADD COLUMN paused_by TEXT"
RESUMED_ON = "ALTER TABLE queue ADD COLUMN resumed_on BIGINT"


def up(_migrator: Any, db: Any) -> None:
    dialect = "sqlite" if isinstance(db, peewee.SqliteDatabase) else "postgresql"
    for statement in (STATE, BEGIN.format(now=NOW[dialect]), SAMPLES, PAUSED_BY, RESUMED_ON):
        db.execute_sql(statement)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE queue DROP COLUMN resumed_on")
    db.execute_sql("ALTER TABLE queue DROP COLUMN paused_by")
    db.execute_sql("DROP TABLE usage_sample")
    db.execute_sql("DROP TABLE system_state")

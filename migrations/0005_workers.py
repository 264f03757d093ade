"""The registry of workers: what each does and uses."""

from __future__ import annotations

from typing import Any

import peewee

TABLE = """
CREATE TABLE worker (
    id TEXT NOT NULL PRIMARY KEY,
    manager TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    cpu {double},
    ram_mb {double},
    assigned INTEGER NOT NULL,
    done BIGINT NOT NULL,
    order_id {uuid},
    seen_on BIGINT NOT NULL,
    lost_on BIGINT
)"""
INDEX = "CREATE INDEX worker_manager ON worker (manager, number)"


def up(_migrator: Any, db: Any) -> None:
    sqlite = isinstance(db, peewee.SqliteDatabase)
    types = ("REAL", "BLOB") if sqlite else ("DOUBLE PRECISION", "UUID")
    double, uuid = types
    db.execute_sql(TABLE.format(double=double, uuid=uuid))
    db.execute_sql(INDEX)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE worker")

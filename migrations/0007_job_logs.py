"""What jobs print and log, in pages of lines."""

from __future__ import annotations

from typing import Any

import peewee

TABLE = """
CREATE TABLE job_log (
    order_id {uuid} NOT NULL,
    seq BIGINT NOT NULL,
    first BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    dropped BIGINT NOT NULL,
    size INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (order_id, seq)
)"""


def up(_migrator: Any, db: Any) -> None:
    uuid = "BLOB" if isinstance(db, peewee.SqliteDatabase) else "UUID"
    db.execute_sql(TABLE.format(uuid=uuid))


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE job_log")

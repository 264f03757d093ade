"""What a broker in use last said of its queues: one row a broker."""

from __future__ import annotations

from typing import Any

TABLE = """
CREATE TABLE broker_sample (
    name TEXT NOT NULL PRIMARY KEY,
    sampled_on BIGINT NOT NULL,
    manager TEXT NOT NULL,
    content TEXT NOT NULL
)"""


def up(_migrator: Any, db: Any) -> None:
    db.execute_sql(TABLE)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE broker_sample")

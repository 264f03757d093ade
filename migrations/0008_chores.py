"""Chores that one manager does for all: whose turn it is, and where the last one stopped."""

from __future__ import annotations

from typing import Any

TABLE = """
CREATE TABLE chore (
    name TEXT NOT NULL PRIMARY KEY,
    due_on BIGINT NOT NULL,
    manager TEXT NOT NULL,
    data TEXT
)"""


def up(_migrator: Any, db: Any) -> None:
    db.execute_sql(TABLE)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE chore")

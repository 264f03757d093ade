"""Projects: repositories saved under a name, and which orders are runs of one."""

from __future__ import annotations

from typing import Any

TABLE = """
CREATE TABLE project (
    name TEXT NOT NULL PRIMARY KEY,
    payload TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    max_attempts INTEGER NOT NULL,
    timeout_ms BIGINT NOT NULL,
    tags TEXT,
    owner TEXT NOT NULL,
    created_on BIGINT NOT NULL,
    changed_on BIGINT NOT NULL
)"""
INDEX = "CREATE INDEX job_order_project ON job_order (project, id) WHERE project IS NOT NULL"


def up(_migrator: Any, db: Any) -> None:
    db.execute_sql(TABLE)
    db.execute_sql(INDEX)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP INDEX job_order_project")
    db.execute_sql("DROP TABLE project")

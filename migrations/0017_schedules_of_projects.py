"""A schedule may run a project, as it is saved when it fires."""

from __future__ import annotations

from typing import Any

PROJECT = "ALTER TABLE schedule ADD COLUMN project TEXT"
INDEX = "CREATE INDEX schedule_project ON schedule (project) WHERE project IS NOT NULL"


def up(_migrator: Any, db: Any) -> None:
    db.execute_sql(PROJECT)
    db.execute_sql(INDEX)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP INDEX schedule_project")
    db.execute_sql("ALTER TABLE schedule DROP COLUMN project")

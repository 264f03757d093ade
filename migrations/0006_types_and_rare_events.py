"""Which types a manager knows; and the events that are not of every order's daily life, by id."""

from __future__ import annotations

from typing import Any

COLUMN = "ALTER TABLE manager ADD COLUMN types TEXT"
INDEX = """
CREATE INDEX event_rare ON event (id, kind)
    WHERE kind NOT IN ('submitted', 'claimed', 'completed', 'retrieved')"""


def up(_migrator: Any, db: Any) -> None:
    db.execute_sql(COLUMN)
    db.execute_sql(INDEX)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP INDEX event_rare")
    db.execute_sql("ALTER TABLE manager DROP COLUMN types")

"""What proves a manager dead: the run of the server that its lock belongs to, and its process."""

from __future__ import annotations

from typing import Any

COLUMNS = ("server", "process")


def up(_migrator: Any, db: Any) -> None:
    for column in COLUMNS:
        db.execute_sql(f"ALTER TABLE manager ADD COLUMN {column} TEXT")


def down(_migrator: Any, db: Any) -> None:
    for column in COLUMNS:
        db.execute_sql(f"ALTER TABLE manager DROP COLUMN {column}")

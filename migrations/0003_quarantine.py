"""An order that once took its holder down stays apart from others, also after a retry by hand."""

from __future__ import annotations

from typing import Any


def up(_migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE job_order ADD COLUMN quarantined SMALLINT NOT NULL DEFAULT 0")


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE job_order DROP COLUMN quarantined")

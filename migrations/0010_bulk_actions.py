"""Actions on all orders that match: what is to be done, and how far it is."""

from __future__ import annotations

from typing import Any

import peewee

TABLE = """
CREATE TABLE bulk_action (
    id {id} NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    wanted TEXT NOT NULL,
    dry_run SMALLINT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    place {id} NOT NULL,
    until {id} NOT NULL,
    total BIGINT NOT NULL,
    done BIGINT NOT NULL,
    created_on BIGINT NOT NULL,
    ended_on BIGINT,
    manager TEXT,
    held_until BIGINT NOT NULL
)"""
OPEN = "CREATE INDEX bulk_action_open ON bulk_action (id) WHERE ended_on IS NULL"


def up(_migrator: Any, db: Any) -> None:
    uuid = "BLOB" if isinstance(db, peewee.SqliteDatabase) else "UUID"
    db.execute_sql(TABLE.format(id=uuid))
    db.execute_sql(OPEN)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE bulk_action")

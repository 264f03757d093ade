"""Tokens: who may call the API, by the digests of what they were given; and an owner's orders."""

from __future__ import annotations

from typing import Any

import peewee

TABLE = """
CREATE TABLE api_token (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest {bytes} NOT NULL,
    created_on BIGINT NOT NULL,
    expires_on BIGINT,
    revoked_on BIGINT,
    last_used BIGINT
)"""
# Of orders that nobody in particular submitted nothing is written to it.
OWNED = "CREATE INDEX job_order_owner ON job_order (owner, id) WHERE owner <> ''"
LIVE = "CREATE INDEX api_token_live ON api_token (name) WHERE revoked_on IS NULL"


def up(_migrator: Any, db: Any) -> None:
    binary = "BLOB" if isinstance(db, peewee.SqliteDatabase) else "BYTEA"
    db.execute_sql(TABLE.format(bytes=binary))
    db.execute_sql(LIVE)
    db.execute_sql(OWNED)


def down(_migrator: Any, db: Any) -> None:
    db.execute_sql("DROP INDEX job_order_owner")
    db.execute_sql("DROP TABLE api_token")

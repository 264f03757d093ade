"""Orders with their attempts, events and tallies; queues, managers, idempotency keys."""

from __future__ import annotations

from typing import Any

import peewee

TABLES = """
CREATE TABLE job_order (
    id {uuid} NOT NULL PRIMARY KEY,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    status TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    payload TEXT NOT NULL,
    result TEXT,
    error TEXT,
    progress TEXT,
    attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    lease BIGINT NOT NULL,
    timeout_ms BIGINT NOT NULL,
    max_silence_ms BIGINT,
    manager TEXT,
    worker TEXT,
    run_at BIGINT NOT NULL,
    created_on BIGINT NOT NULL,
    started_on BIGINT,
    last_updated BIGINT NOT NULL,
    completed_on BIGINT,
    retrieved_on BIGINT,
    run_ms BIGINT,
    owner TEXT NOT NULL,
    tags TEXT,
    callback_url TEXT,
    copy_of {uuid},
    schedule TEXT,
    project TEXT,
    sandbox TEXT,
    CONSTRAINT job_order_status CHECK (
        status IN ('pending', 'wip', 'completed', 'retrieved', 'failed', 'cancelled')),
    CONSTRAINT job_order_ended CHECK ((status IN ('pending', 'wip')) = (completed_on IS NULL))
);
CREATE INDEX job_order_pending ON job_order (queue, priority, run_at, id)
    WHERE status = 'pending';
CREATE INDEX job_order_wip ON job_order (manager) WHERE status = 'wip';
CREATE INDEX job_order_unhappy ON job_order (status, id)
    WHERE status IN ('failed', 'cancelled');

CREATE TABLE attempt (
    order_id {uuid} NOT NULL,
    lease BIGINT NOT NULL,
    number INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    manager TEXT,
    worker TEXT,
    started_on BIGINT,
    ended_on BIGINT NOT NULL,
    run_ms BIGINT,
    error TEXT,
    PRIMARY KEY (order_id, lease)
);

CREATE TABLE event (
    id {serial},
    xid BIGINT{xid},
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    n INTEGER NOT NULL,
    orders {bytes},
    manager TEXT,
    data TEXT
);
CREATE INDEX event_commit_order ON event (xid, id);

CREATE TABLE tally (
    id {serial},
    minute BIGINT NOT NULL,
    queue TEXT NOT NULL,
    type TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    n BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    run_ms BIGINT NOT NULL,
    histogram TEXT
);

CREATE TABLE queue (
    name TEXT NOT NULL PRIMARY KEY,
    paused_on BIGINT,
    created_on BIGINT NOT NULL
);

CREATE TABLE manager (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    transport TEXT NOT NULL,
    state TEXT NOT NULL,
    slots INTEGER NOT NULL,
    queues TEXT,
    heartbeat_ms BIGINT NOT NULL,
    stale_ms BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    proof TEXT NOT NULL,
    started_on BIGINT NOT NULL,
    last_beat BIGINT NOT NULL,
    ended_on BIGINT
);

CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    digest {bytes} NOT NULL,
    orders {bytes} NOT NULL,
    created_on BIGINT NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_age ON idempotency (created_on)
"""

NAMES = ("idempotency", "manager", "queue", "tally", "event", "attempt", "job_order")

TYPES = {
    "sqlite": {
        "uuid": "BLOB",
        "bytes": "BLOB",
        "serial": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
        "xid": "",
    },
    "postgresql": {
        "uuid": "UUID",
        "bytes": "BYTEA",
        "serial": "BIGSERIAL NOT NULL PRIMARY KEY",
        # Readers of the stream need to know which transaction wrote an event, whoever wrote it.
        "xid": " DEFAULT (pg_current_xact_id()::text::bigint)",
    },
}

# A queue's table turns over completely all the time: the default of one fifth dead rows lets the
# index of pending orders grow by dead entries between two vacuums.
POSTGRES_TUNING = """
ALTER TABLE job_order SET (autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE tally SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)
"""


def up(_migrator: Any, db: Any) -> None:
    sqlite = isinstance(db, peewee.SqliteDatabase)
    script = TABLES.format(**TYPES["sqlite" if sqlite else "postgresql"])
    for statement in (script if sqlite else script + ";" + POSTGRES_TUNING).split(";"):
        db.execute_sql(statement)


def down(_migrator: Any, db: Any) -> None:
    for name in NAMES:
        db.execute_sql(f"DROP TABLE {name}")

"""The tables, the states of an order, and the one table of legal moves between them.

Times are milliseconds since 1970 UTC in a BIGINT on both databases: one arithmetic, no time zone.
Ids are UUIDv7, 16 bytes wide on both.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

import peewee

PENDING: Final = "pending"
WIP: Final = "wip"
COMPLETED: Final = "completed"
RETRIEVED: Final = "retrieved"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STATUSES: Final = (PENDING, WIP, COMPLETED, RETRIEVED, FAILED, CANCELLED)
ENDED: Final = (COMPLETED, RETRIEVED, FAILED, CANCELLED)

# Before it exists and after it is deleted an order has no status.
NOTHING: Final = ""

MOVES: Final[dict[str, frozenset[str]]] = {
    NOTHING: frozenset({PENDING}),
    PENDING: frozenset({WIP, CANCELLED}),
    WIP: frozenset({PENDING, COMPLETED, FAILED, CANCELLED}),
    COMPLETED: frozenset({RETRIEVED, NOTHING}),
    RETRIEVED: frozenset({NOTHING}),
    FAILED: frozenset({PENDING, NOTHING}),
    CANCELLED: frozenset({PENDING, NOTHING}),
}

# Stored as numbers because claims walk them in order.
PRIORITIES: Final = {"high": 1, "normal": 2, "low": 3}
PRIORITY_NAMES: Final = {number: name for name, number in PRIORITIES.items()}

# The row of `queue` that stands for all of them when everything is paused.
ALL_QUEUES: Final = "*"

database = peewee.DatabaseProxy()


class OrderId(peewee.Field):
    """A UUID that Python sees as its canonical text."""

    field_type = "UUID"

    def db_value(self, value: Any) -> Any:
        if value is None or isinstance(value, bytes):
            return value
        identity = uuid.UUID(str(value))
        return identity.bytes if isinstance(database.obj, peewee.SqliteDatabase) else str(identity)

    def python_value(self, value: Any) -> str | None:
        if value is None:
            return None
        return str(uuid.UUID(bytes=value) if isinstance(value, bytes) else value)


class Table(peewee.Model):
    class Meta:
        database = database
        legacy_table_names = False


class JobOrder(Table):
    """One request for work: the only truth about it, and the record of its latest attempt."""

    id = OrderId(primary_key=True)
    type = peewee.TextField()
    queue = peewee.TextField()
    status = peewee.TextField()
    priority = peewee.SmallIntegerField()
    payload = peewee.TextField()
    result = peewee.TextField(null=True)
    error = peewee.TextField(null=True)
    progress = peewee.TextField(null=True)
    attempts = peewee.IntegerField(default=0)
    crashes = peewee.IntegerField(default=0)
    # Once it took its holder down; a retry by hand sets the count back, but not this.
    quarantined = peewee.SmallIntegerField(default=0)
    max_attempts = peewee.IntegerField()
    lease = peewee.BigIntegerField(default=0)
    timeout_ms = peewee.BigIntegerField()
    max_silence_ms = peewee.BigIntegerField(null=True)
    manager = peewee.TextField(null=True)
    worker = peewee.TextField(null=True)
    run_at = peewee.BigIntegerField()
    created_on = peewee.BigIntegerField()
    started_on = peewee.BigIntegerField(null=True)
    last_updated = peewee.BigIntegerField()
    completed_on = peewee.BigIntegerField(null=True)
    retrieved_on = peewee.BigIntegerField(null=True)
    run_ms = peewee.BigIntegerField(null=True)
    owner = peewee.TextField(default="")
    tags = peewee.TextField(null=True)
    callback_url = peewee.TextField(null=True)
    copy_of = OrderId(null=True)
    schedule = peewee.TextField(null=True)
    project = peewee.TextField(null=True)
    sandbox = peewee.TextField(null=True)

    class Meta:
        table_name = "job_order"
        constraints = [
            peewee.Check(
                "status IN ('pending', 'wip', 'completed', 'retrieved', 'failed', 'cancelled')",
                name="job_order_status",
            ),
            peewee.Check(
                "(status IN ('pending', 'wip')) = (completed_on IS NULL)", name="job_order_ended"
            ),
        ]


class Attempt(Table):
    """An earlier, ended attempt; the lease under which it ran keeps it apart from all others."""

    order_id = OrderId()
    lease = peewee.BigIntegerField()
    number = peewee.IntegerField()
    outcome = peewee.TextField()
    manager = peewee.TextField(null=True)
    worker = peewee.TextField(null=True)
    started_on = peewee.BigIntegerField(null=True)
    ended_on = peewee.BigIntegerField()
    run_ms = peewee.BigIntegerField(null=True)
    error = peewee.TextField(null=True)

    class Meta:
        table_name = "attempt"
        primary_key = peewee.CompositeKey("order_id", "lease")


class Event(Table):
    """Something that happened; one row may stand for many orders that a statement moved.

    `orders` holds their ids, 16 bytes each, one after the other. On PostgreSQL rows become visible
    in commit order of `xid`, not in order of `id`.
    """

    id = peewee.BigAutoField()
    xid = peewee.BigIntegerField(null=True)
    at = peewee.BigIntegerField()
    kind = peewee.TextField()
    n = peewee.IntegerField(default=0)
    orders = peewee.BlobField(null=True)
    manager = peewee.TextField(null=True)
    data = peewee.TextField(null=True)

    class Meta:
        table_name = "event"


class Tally(Table):
    """How many orders made one move in one minute: the source of every level and every flow.

    `histogram` counts run times by power-of-two buckets of milliseconds, as a JSON object.
    """

    id = peewee.BigAutoField()
    minute = peewee.BigIntegerField()
    queue = peewee.TextField()
    type = peewee.TextField()
    before = peewee.TextField()
    after = peewee.TextField()
    n = peewee.BigIntegerField()
    runs = peewee.BigIntegerField(default=0)
    run_ms = peewee.BigIntegerField(default=0)
    histogram = peewee.TextField(null=True)

    class Meta:
        table_name = "tally"


class Queue(Table):
    """A queue that was ever used or paused; the row named `*` pauses all."""

    name = peewee.TextField(primary_key=True)
    paused_on = peewee.BigIntegerField(null=True)
    created_on = peewee.BigIntegerField()

    class Meta:
        table_name = "queue"


class Manager(Table):
    """A manager process, its own heartbeat and stale time, and its proof of life."""

    id = peewee.TextField(primary_key=True)
    host = peewee.TextField()
    pid = peewee.IntegerField()
    version = peewee.TextField()
    transport = peewee.TextField()
    state = peewee.TextField()
    slots = peewee.IntegerField()
    queues = peewee.TextField(null=True)
    heartbeat_ms = peewee.BigIntegerField()
    stale_ms = peewee.BigIntegerField()
    epoch = peewee.BigIntegerField(default=0)
    proof = peewee.TextField(default="none")
    started_on = peewee.BigIntegerField()
    last_beat = peewee.BigIntegerField()
    ended_on = peewee.BigIntegerField(null=True)
    server = peewee.TextField(null=True)
    process = peewee.TextField(null=True)
    # NULL is not told; '' is none.
    types = peewee.TextField(null=True)

    class Meta:
        table_name = "manager"


class Worker(Table):
    """A worker of a manager: what it does and uses, as its manager last said.

    `cpu` is percent of one core. What is `lost` here was lost by a living manager; the workers of
    a dead one are told by its own row. `seen_on` is when this was written.
    """

    id = peewee.TextField(primary_key=True)
    manager = peewee.TextField()
    number = peewee.IntegerField()
    state = peewee.TextField()
    kind = peewee.TextField()
    cpu = peewee.DoubleField(null=True)
    ram_mb = peewee.DoubleField(null=True)
    assigned = peewee.IntegerField()
    done = peewee.BigIntegerField()
    order_id = OrderId(null=True)
    seen_on = peewee.BigIntegerField()
    lost_on = peewee.BigIntegerField(null=True)

    class Meta:
        table_name = "worker"


class Idempotency(Table):
    """A client's key and what it once submitted, so that a repeat gets the first answer."""

    owner = peewee.TextField()
    key = peewee.TextField()
    digest = peewee.BlobField()
    orders = peewee.BlobField()
    created_on = peewee.BigIntegerField()

    class Meta:
        table_name = "idempotency"
        primary_key = peewee.CompositeKey("owner", "key")


class Schedule(Table):
    """Orders to come by a cron expression: what they will be, and when the next one is due.

    `next_fire` is NULL while nothing is due: paused. It always lies after `last_fire`, so that no
    fire comes twice.
    """

    name = peewee.TextField(primary_key=True)
    expression = peewee.TextField()
    timezone = peewee.TextField()
    type = peewee.TextField()
    payload = peewee.TextField()
    queue = peewee.TextField()
    priority = peewee.SmallIntegerField()
    max_attempts = peewee.IntegerField()
    timeout_ms = peewee.BigIntegerField()
    max_silence_ms = peewee.BigIntegerField(null=True)
    tags = peewee.TextField(null=True)
    owner = peewee.TextField(default="")
    enabled = peewee.SmallIntegerField(default=1)
    created_on = peewee.BigIntegerField()
    changed_on = peewee.BigIntegerField()
    next_fire = peewee.BigIntegerField(null=True)
    last_fire = peewee.BigIntegerField(null=True)
    last_order = OrderId(null=True)

    class Meta:
        table_name = "schedule"
        constraints = [peewee.Check("next_fire > last_fire", name="schedule_forward")]


TABLES: Final = (JobOrder, Attempt, Event, Tally, Queue, Manager, Idempotency, Schedule, Worker)

# Only live states are indexed: what has ended costs the hot path nothing.
JobOrder.add_index(
    JobOrder.index(
        JobOrder.queue,
        JobOrder.priority,
        JobOrder.run_at,
        JobOrder.id,
        name="job_order_pending",
        where=peewee.SQL("status = 'pending'"),
    )
)
JobOrder.add_index(
    JobOrder.index(JobOrder.manager, name="job_order_wip", where=peewee.SQL("status = 'wip'"))
)
JobOrder.add_index(
    JobOrder.index(
        JobOrder.status,
        JobOrder.id,
        name="job_order_unhappy",
        where=peewee.SQL("status IN ('failed', 'cancelled')"),
    )
)
Event.add_index(Event.index(Event.xid, Event.id, name="event_commit_order"))
# What is of every order's daily life can be told from its row: only the rest is looked for.
Event.add_index(
    Event.index(
        Event.id,
        Event.kind,
        name="event_rare",
        where=peewee.SQL("kind NOT IN ('submitted', 'claimed', 'completed', 'retrieved')"),
    )
)
Idempotency.add_index(Idempotency.index(Idempotency.created_on, name="idempotency_age"))
Schedule.add_index(Schedule.index(Schedule.next_fire, name="schedule_due"))
Worker.add_index(Worker.index(Worker.manager, Worker.number, name="worker_manager"))


def bind(orm: Any) -> None:
    """Make the tables speak to this database (peewee's `Database`)."""
    database.initialize(orm)

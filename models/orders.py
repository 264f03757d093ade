"""The tables of orders: what they are, were, and left behind."""

from __future__ import annotations

import peewee

from models.base import OrderId, Table


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


class JobLog(Table):
    """A page of the lines that a run of an order said; `seq` is the number of its last.

    Numbers begin with the lease, so that they grow. `dropped` lines are lost, in it and before it.
    `content` is JSON, a list of [ms since 1970, stream, level, text].
    """

    order_id = OrderId()
    seq = peewee.BigIntegerField()
    first = peewee.BigIntegerField()
    lease = peewee.BigIntegerField()
    attempt = peewee.IntegerField()
    lines = peewee.IntegerField()
    dropped = peewee.BigIntegerField()
    size = peewee.IntegerField()
    content = peewee.TextField()

    class Meta:
        table_name = "job_log"
        primary_key = peewee.CompositeKey("order_id", "seq")


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

    `histogram` counts run times by power-of-two buckets of milliseconds, as a JSON object. Of
    claims, `runs`, `run_ms` and `histogram` count how long the orders had waited.
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
    """A queue that was ever used or paused; the row named `*` pauses all.

    `resumed_on` is when it was last resumed: what waits in it could not run before.
    """

    name = peewee.TextField(primary_key=True)
    paused_on = peewee.BigIntegerField(null=True)
    created_on = peewee.BigIntegerField()
    paused_by = peewee.TextField(null=True)
    resumed_on = peewee.BigIntegerField(null=True)

    class Meta:
        table_name = "queue"


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
JobOrder.add_index(
    JobOrder.index(
        JobOrder.project,
        JobOrder.id,
        name="job_order_project",
        where=peewee.SQL("project IS NOT NULL"),
    )
)
# Of those that nobody in particular submitted there is nothing in it.
JobOrder.add_index(
    JobOrder.index(
        JobOrder.owner,
        JobOrder.id,
        name="job_order_owner",
        where=peewee.SQL("owner <> ''"),
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

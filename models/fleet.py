"""The tables of who works, and of what is to be done without being asked."""

from __future__ import annotations

import peewee

from models.base import OrderId, Table


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
    project = peewee.TextField(null=True)

    class Meta:
        table_name = "schedule"
        constraints = [peewee.Check("next_fire > last_fire", name="schedule_forward")]


Schedule.add_index(
    Schedule.index(Schedule.project, name="schedule_project", where=Schedule.project.is_null(False))
)


class Project(Table):
    """A repository saved under a name: the order that runs it."""

    name = peewee.TextField(primary_key=True)
    payload = peewee.TextField()
    queue = peewee.TextField()
    priority = peewee.SmallIntegerField()
    max_attempts = peewee.IntegerField()
    timeout_ms = peewee.BigIntegerField()
    tags = peewee.TextField(null=True)
    owner = peewee.TextField(default="")
    created_on = peewee.BigIntegerField()
    changed_on = peewee.BigIntegerField()

    class Meta:
        table_name = "project"


class Chore(Table):
    """What one manager does for all: who has it, when it is due again, and what is left of it.

    `data` is a JSON object that only its chore understands.
    """

    name = peewee.TextField(primary_key=True)
    due_on = peewee.BigIntegerField()
    manager = peewee.TextField()
    data = peewee.TextField(null=True)

    class Meta:
        table_name = "chore"


class SystemState(Table):
    """What is remembered of the system's state, in one row; written by whichever manager is first.

    Spans that are over stay until the next of their kind. `away_until` is the end of the last
    outage of the database that was told; `sampled_on` is 0 until a manager has looked.
    """

    id = peewee.SmallIntegerField(primary_key=True)
    begun_on = peewee.BigIntegerField()
    sampled_on = peewee.BigIntegerField()
    pressed_since = peewee.BigIntegerField(null=True)
    load_from = peewee.BigIntegerField(null=True)
    load_until = peewee.BigIntegerField(null=True)
    trouble_from = peewee.BigIntegerField(null=True)
    trouble_until = peewee.BigIntegerField(null=True)
    trouble = peewee.TextField(null=True)
    away_until = peewee.BigIntegerField(null=True)

    class Meta:
        table_name = "system_state"


class UsageSample(Table):
    """What the workers of one manager used in `grain` seconds that began at `at`.

    `content` is a JSON object: by the worker's number, its mean percent of one core, None if
    unknown, and its MiB.
    """

    grain = peewee.IntegerField()
    at = peewee.BigIntegerField()
    manager = peewee.TextField()
    content = peewee.TextField()

    class Meta:
        table_name = "usage_sample"
        primary_key = peewee.CompositeKey("grain", "at", "manager")


class BrokerSample(Table):
    """What a broker last said of its queues, as a JSON object, and which manager asked."""

    name = peewee.TextField(primary_key=True)
    sampled_on = peewee.BigIntegerField()
    manager = peewee.TextField()
    content = peewee.TextField()

    class Meta:
        table_name = "broker_sample"


Schedule.add_index(Schedule.index(Schedule.next_fire, name="schedule_due"))
Worker.add_index(Worker.index(Worker.manager, Worker.number, name="worker_manager"))

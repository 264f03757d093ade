"""The table of what is to be done to all orders that match."""

from __future__ import annotations

import peewee

from models.base import OrderId, Table


class BulkAction(Table):
    """A cancel, retry or delete of all orders that a filter lets through.

    It walks their ids upwards: `place` is the last one that was looked at, `until` the first that
    is too new. `manager` works at it until `held_until`, and whoever comes then goes on.
    """

    id = OrderId(primary_key=True)
    kind = peewee.TextField()
    wanted = peewee.TextField()
    dry_run = peewee.SmallIntegerField()
    owner = peewee.TextField()
    state = peewee.TextField()
    place = OrderId()
    until = OrderId()
    total = peewee.BigIntegerField()
    done = peewee.BigIntegerField()
    created_on = peewee.BigIntegerField()
    ended_on = peewee.BigIntegerField(null=True)
    manager = peewee.TextField(null=True)
    held_until = peewee.BigIntegerField()

    class Meta:
        table_name = "bulk_action"


BulkAction.add_index(
    BulkAction.index(BulkAction.id, name="bulk_action_open", where=BulkAction.ended_on.is_null())
)

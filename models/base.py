"""What all tables have in common."""

from __future__ import annotations

import uuid
from typing import Any

import peewee

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


def bind(orm: Any) -> None:
    """Make the tables speak to this database (peewee's `Database`)."""
    database.initialize(orm)

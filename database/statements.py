"""SQL text for both databases, and the transaction it runs in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Row = tuple[Any, ...]


def id_key(dialect: str, order_id: str) -> Any:
    """An order's id as this database holds it: 16 bytes, or PostgreSQL's uuid."""
    return bytes.fromhex(order_id.replace("-", "")) if dialect == "sqlite" else order_id


def id_list(dialect: str, order_ids: Iterable[str]) -> Any:
    """Many ids as one parameter: a JSON array on SQLite, an array on PostgreSQL."""
    ids = list(order_ids)
    return json.dumps(ids) if dialect == "sqlite" else ids


class Sql:
    """One statement, for both databases: named parameters as `:name`, `{now}` for the clock.

    `{now}` is milliseconds since 1970 by the database's clock on PostgreSQL and by the host's on
    SQLite, the same throughout one statement. `{among}`, behind the name of a column of ids, asks
    whether it is among the parameter `:ids`, which `ids()` makes.
    """

    __slots__ = ("postgres", "sqlite")

    NOW_SQLITE = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    NOW_POSTGRES = "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)"

    AMONG_SQLITE = "IN (SELECT unhex(replace(value, '-', '')) FROM json_each(:ids))"
    AMONG_POSTGRES = "= ANY(CAST(:ids AS uuid[]))"

    def __init__(self, both: str = "", *, sqlite: str = "", postgres: str = "") -> None:
        text = (sqlite or both).replace("{now}", self.NOW_SQLITE)
        self.sqlite = text.replace("{among}", self.AMONG_SQLITE)
        text = (postgres or both).replace("{now}", self.NOW_POSTGRES)
        text = text.replace("{among}", self.AMONG_POSTGRES).replace("%", "%%")
        self.postgres = re.sub(r"(?<![:\w]):([a-z_]+)", r"%(\1)s", text)


class Transaction:
    """What a unit of work may do: run statements on the connection of its own transaction."""

    __slots__ = ("_connection", "_text", "dialect")

    def __init__(self, connection: Any, dialect: str) -> None:
        self._connection = connection
        self.dialect = dialect
        self._text = "sqlite" if dialect == "sqlite" else "postgres"

    def key(self, order_id: str) -> Any:
        """An order's id as this database holds it."""
        return id_key(self.dialect, order_id)

    def ids(self, order_ids: Iterable[str]) -> Any:
        """Many ids as one parameter: a JSON array on SQLite, an array on PostgreSQL."""
        return id_list(self.dialect, order_ids)

    def rows(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a statement that answers rows, and fetch them all."""
        cursor = self._connection.execute(getattr(statement, self._text), parameters)
        return cursor.fetchall()  # type: ignore[no-any-return]

    def run(self, statement: Sql, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement whose rows, if any, nobody needs."""
        self._connection.execute(getattr(statement, self._text), parameters)

    def many(self, statement: Sql, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement once for each set of parameters."""
        cursor = self._connection.cursor()
        for _ in cursor.executemany(getattr(statement, self._text), parameters) or ():
            pass

    def many_rows(self, statement: Sql, parameters: Iterable[Mapping[str, Any]]) -> list[Row]:
        """The same on SQLite only, collecting what each run answers (`RETURNING`)."""
        return list(self._connection.cursor().executemany(statement.sqlite, parameters))

"""A clock of the test's own for a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import apsw

from database import Database, Sql

SIMULATED = """
    CREATE SCHEMA simulated;
    CREATE TABLE simulated.clock (at timestamptz NOT NULL);
    INSERT INTO simulated.clock VALUES ('epoch');
    CREATE FUNCTION simulated.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT at FROM simulated.clock';
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = simulated, pg_catalog, public',
        current_database()); END $$"""
SET = Sql("UPDATE simulated.clock SET at = to_timestamp(:at)")


class Clock:
    """What the database takes for the time."""

    def __init__(self, database: Database) -> None:
        self.at = 0.0
        if database.dialect == "postgresql":
            with database.session() as connection:
                connection.execute(SIMULATED)
        self._database = self.opened(database.url)

    def opened(self, url: str) -> Database:
        """A database that goes by this clock."""
        database = Database(url)
        connect: Callable[[], Any] = database.orm._connect

        def simulated() -> Any:
            connection = connect()
            if isinstance(connection, apsw.Connection):
                connection.create_scalar_function("unixepoch", lambda *_given: self.at)
            return connection

        database.orm._connect = simulated
        return database

    def set(self, at: datetime) -> None:
        self.at = at.timestamp()
        if self._database.dialect == "postgresql":
            self._database.write(lambda transaction: transaction.run(SET, {"at": self.at}))

    def close(self) -> None:
        self._database.close()

"""Whether the process lives, and whether it can accept work; the API's own description."""

from __future__ import annotations

import logging

import apsw
import psycopg
from flask import Response, current_app
from flask_openapi.blueprint import APIBlueprint

from api import errors, replies
from api.answers import Health
from api.document import NAME
from api.services import services
from database import Database, DatabaseAway, Sql
from models import TABLES, Table

bp = APIBlueprint("health", __name__)

_log = logging.getLogger("capataz.api")


def _look(table: type[Table]) -> Sql:
    columns = ", ".join(field.column_name for field in table._meta.sorted_fields)
    return Sql(f"SELECT {columns} FROM {table._meta.table_name} LIMIT 0")  # noqa: S608


_LOOKS = [_look(table) for table in TABLES]
_IS_READ_ONLY = Sql(
    sqlite="SELECT 'off'", postgres="SELECT current_setting('transaction_read_only')"
)


@bp.get("/healthz", summary="Alive", responses={200: Health})
def alive() -> Response:
    """The process answers."""
    return replies.json_text('{"status":"ok"}')


@bp.get("/readyz", summary="Able to accept work", responses={200: Health} | errors.documented(503))
def ready() -> Response:
    """The database is reachable and migrated; needs no manager. Reveals nothing more."""
    if not _accepts_work(services().database):
        raise errors.unavailable("Not ready to accept work.")
    return replies.json_text('{"status":"ready"}')


@bp.get(
    "/openapi.json", summary="This description", responses={200: {"description": "OpenAPI 3.1"}}
)
def document() -> Response:
    """OpenAPI 3.1."""
    return replies.json_text(current_app.extensions[NAME].text)


def _accepts_work(database: Database) -> bool:
    """Whether every table has every column that this version uses."""
    try:
        for look in _LOOKS:
            database.read(look)
        if database.read(_IS_READ_ONLY) != [("off",)]:
            _log.warning("not ready: %s", "the database lets nothing be written")
            return False
    except (DatabaseAway, apsw.Error, psycopg.Error) as error:
        _log.warning("not ready: %s", error)
        return False
    return True

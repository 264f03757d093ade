"""The list of orders that a filter asks for, for the endpoint and the command."""

from __future__ import annotations

from typing import NamedTuple

from api import cursors, errors, intake, ownership, queries
from api.action_inputs import ActionFilter
from api.schemas import JobFilter, JobMatch
from database import Database
from ledger import OrderRow
from ledger.matching import Filter
from models import PRIORITIES


class Listing(NamedTuple):
    """A page; `cursor` is where the next begins, `searched_to` (ms) where a search gave up."""

    rows: list[OrderRow]
    cursor: str | None
    searched_to: int | None


def listing(database: Database, query: JobFilter) -> Listing:
    """The page that is asked for. Raises the 422 for a cursor that is none, `DatabaseAway`."""
    asked = query.model_dump(mode="json", exclude={"limit", "cursor"})
    asked["status"].sort()
    before = None
    if query.cursor is not None:
        try:
            before = cursors.read(query.cursor, asked)
        except cursors.BadCursor as error:
            raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None
    found = queries.find_page(database, wanted(query), query.limit, before)
    cursor = cursors.make(found.next_id, asked) if found.next_id is not None else None
    return Listing(found.rows, cursor, found.searched_to)


def wanted(query: JobMatch | ActionFilter) -> Filter:
    """The filter that a request asks for."""
    after, before = query.created_after, query.created_before
    return Filter(
        status=tuple(dict.fromkeys(query.status)),
        type=query.type,
        queue=query.queue,
        priority=PRIORITIES[query.priority] if query.priority else None,
        worker=query.worker,
        owner=ownership.owner_asked_for(query.owner),
        tag=query.tag,
        created_after=intake.in_milliseconds(after) if after else None,
        created_before=intake.in_milliseconds(before) if before else None,
        q=query.q,
    )

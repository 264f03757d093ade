"""What happened."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import cursors, errors, event_presenter, intake, ownership, replies
from api.answers import EventPage
from api.described import answer
from api.identity import identity
from api.schemas import EventFilter
from api.services import services
from ledger.events import Wanted, find_events
from ledger.events.item import Position

bp = APIBlueprint("events", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


@bp.get("/events", summary="List events", responses={200: answer(EventPage, "Link?")})
def list_events(query: EventFilter) -> Response:
    """Newest first. Filters look at a bounded stretch: see `searchedTo`. With `job`, what happened
    to one order."""
    if query.job is not None:
        ownership.check(query.job)
    elif identity().sees_only is not None:
        raise errors.forbidden("A customer sees the events of its own orders: add job=ID.")
    asked = query.model_dump(mode="json", exclude={"limit", "cursor"})
    asked["kind"] = sorted(set(asked["kind"]))
    after = None
    if query.cursor is not None:
        try:
            numbers = cursors.read_numbers(query.cursor, asked, len(Position._fields))
        except cursors.BadCursor as error:
            raise errors.unacceptable("query", [errors.of("cursor", str(error))]) from None
        after = Position._make(numbers)
    page = find_events(services().database, _wanted(query), query.limit, after)
    cursor = None if page.position is None else cursors.make_of_numbers(page.position, asked)
    text = event_presenter.page(page.items, cursor, page.searched_to)
    return replies.paged(replies.json_text(text), cursor)


def _wanted(query: EventFilter) -> Wanted:
    return Wanted(
        kinds=tuple(sorted(set(query.kind))),
        order_id=query.job,
        worker=query.worker,
        manager=query.manager,
        since=intake.in_milliseconds(query.since) if query.since else None,
    )

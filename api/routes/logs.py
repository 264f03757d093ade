"""What an order's job printed and logged."""

from __future__ import annotations

from itertools import islice
from typing import Any

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

import exact_json
from api import errors, ownership, replies
from api.answers import JobLines
from api.described import answer
from api.presenter import plain_moment
from api.schemas import JobPath, LogFilter
from api.services import services
from ledger.journal import DROPPED, Journal, LogLine, read_lines

bp = APIBlueprint("logs", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
JSON, TEXT = "application/json", "text/plain"


_LINES = answer(JobLines, "Link?", says="The lines, as JSON or as text")
_LINES["content"][TEXT] = {"schema": {"type": "string"}}


@bp.get("/jobs/<id>/logs", summary="What a job printed and logged", responses={200: _LINES})
def logs(path: JobPath, query: LogFilter) -> Response:
    """Oldest first; `nextCursor` as the next `after` follows a running job. Plain text for who
    accepts that rather than JSON. Retrieves nothing."""
    ownership.check(path.id)
    journal = read_lines(services().database, path.id, query.after)
    found = list(islice((line for line in journal.lines if _matches(line, query)), query.limit + 1))
    page = found[: query.limit]
    cursor = _next(journal, page, query.after, more=len(found) > len(page))
    if request.accept_mimetypes.best_match((JSON, TEXT), JSON) == TEXT:
        response = Response("".join(map(_text, page)), mimetype=TEXT)
    else:
        document = {
            "items": list(map(_item, page)),
            "nextCursor": cursor,
            "dropped": journal.dropped,
        }
        response = replies.json_text(exact_json.dumps(document))
    response.vary.add("Accept")
    return replies.paged(response, cursor, "after")


def _matches(line: LogLine, query: LogFilter) -> bool:
    if query.attempt is not None and line.attempt != query.attempt:
        return False
    if line.stream == DROPPED:
        return True
    if query.stream and line.stream not in query.stream:
        return False
    return query.level is None or (line.level or 0) >= LEVELS[query.level]


def _next(journal: Journal, page: list[LogLine], after: int, *, more: bool) -> str | None:
    """Where to go on; None when all was said and shown."""
    if more:
        return str(page[-1].seq)
    if journal.is_over:
        return None
    return str(journal.lines[-1].seq if journal.lines else after)


def _item(line: LogLine) -> dict[str, Any]:
    return {
        "seq": line.seq,
        "time": plain_moment(line.at),
        "attempt": line.attempt,
        "lease": line.lease,
        "stream": line.stream,
        "level": _level(line),
        "line": _said(line),
    }


def _text(line: LogLine) -> str:
    return f"{plain_moment(line.at)} {_level(line) or line.stream} {_said(line)}\n"


def _said(line: LogLine) -> str:
    if line.stream == DROPPED:
        return f"… {line.level:,} line{'s' if line.level != 1 else ''} dropped"
    return line.text


def _level(line: LogLine) -> str | None:
    """The name of the level, or of the highest below it."""
    if line.level is None or line.stream == DROPPED:
        return None
    return next((name for name, level in reversed(LEVELS.items()) if level <= line.level), "debug")

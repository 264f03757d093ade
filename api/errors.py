"""Every error answer: `application/problem+json` (RFC 9457), and which status it has.

Nothing else in the API knows the status of an error. The functions here make exceptions to be
raised; what the ledger, the jobs and the database raise is turned into answers by the handlers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, g, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

import exact_json
import ledger
from database import DatabaseAway, RowsLocked, SchemaMissing
from jobs.errors import PayloadError, UnknownType
from ledger.bulk import UnknownAction
from ledger.projects import ProjectExists, ProjectInUse, UnknownProject
from ledger.schedules import ScheduleExists, UnknownSchedule
from submissions import breaches

MEDIA_TYPE = "application/problem+json"
AWAY_RETRY_SECONDS = 2

_log = logging.getLogger("capataz.api")

FieldErrors = Sequence[Mapping[str, str]]

# What is wrong with an order is said in the same words however it was sent.
MOST_ERRORS = breaches.MOST_ERRORS
echo = breaches.echo
at, of, step = breaches.at, breaches.of, breaches.step
type_errors, payload_errors = breaches.type_errors, breaches.payload_errors


class FieldError(BaseModel):
    """One bad field: where it is and what to do about it."""

    pointer: str | None = Field(None, description="JSON pointer into the body")
    parameter: str | None = Field(None, description="name of a path or query parameter or header")
    message: str = Field(description="what is wrong and how to put it right")


class Problem(BaseModel):
    """An error answer (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError]
    requestId: str = Field(description="the request's name in the server's log")  # noqa: N815


class ApiError(HTTPException):
    """An answer other than success; raise it anywhere below a request."""

    def __init__(
        self,
        status: HTTPStatus | int,
        detail: str,
        errors: FieldErrors = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = int(status)
        self.errors = errors
        self.extra_headers = dict(headers or {})

    def get_response(self, *_args: Any, **_kwargs: Any) -> Response:
        """The problem document with the headers given."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.code or 500).phrase,
            "status": self.code,
            "detail": self.description,
            "errors": list(self.errors),
            "requestId": g.get("request_id", ""),
        }
        return Response(exact_json.dumps(document), self.code, self.extra_headers, MEDIA_TYPE)


class Busy(Exception):
    """The web process cannot take the request on just now; the text says what became of it."""


def malformed(reason: str) -> ApiError:
    """400: the body is no JSON document that can be read."""
    return ApiError(400, breaches.unreadable(reason), [at("", reason)])


def not_json() -> ApiError:
    """415: the body is not said to be JSON."""
    return ApiError(
        415,
        "Send the body as JSON with the header Content-Type: application/json.",
        [of("Content-Type", "must be application/json")],
    )


def unacceptable(place: str, errors: FieldErrors) -> ApiError:
    """422: these fields of the `place` (body, query, path, headers) are not as they must be."""
    return ApiError(422, breaches.not_acceptable(place, errors), errors[:MOST_ERRORS])


def cross_site() -> ApiError:
    """403: a page of another site made the browser ask."""
    return ApiError(
        403,
        "A page of another site must not do this: open the address itself, or call the API from "
        "a program.",
    )


def unauthenticated(challenge: str, reason: str) -> ApiError:
    """401: nobody knows who asks."""
    return ApiError(
        401,
        f"{reason}: send the header Authorization: Bearer TOKEN with a token that an administrator "
        "made by python manage.py token create NAME --role ROLE.",
        headers={"WWW-Authenticate": challenge},
    )


def not_allowed(role: str, roles: Sequence[str]) -> ApiError:
    """403: the role of who asks may not do this."""
    needed = " or ".join(roles) or "nobody"
    return forbidden(f"This needs the role {needed}, and the credentials given have {role}.")


def forbidden(detail: str) -> ApiError:
    """403: not for this one."""
    return ApiError(403, detail)


def too_many_failures(seconds: float) -> ApiError:
    """429: too many credentials from one address were none."""
    wait = math.ceil(seconds)
    return ApiError(
        429,
        f"Too many failed log-ins from this address: try again in {wait} s. A good token is "
        "taken all the same.",
        headers={"Retry-After": str(wait)},
    )


def nothing_here() -> ApiError:
    """404: no such address."""
    return ApiError(404, _REMEDIES[404])


def unknown_order(order_id: str) -> ApiError:
    """404: no order has this id."""
    message = "no job order has this id: GET /api/v1/jobs lists them"
    return ApiError(404, f"{echo(order_id)}: {message}.", [of("id", message)])


def unknown_action(action_id: str) -> ApiError:
    """404: no bulk action has this id."""
    message = "no action has this id; one can be asked after for a week"
    return ApiError(404, f"{echo(action_id)}: {message}.", [of("id", message)])


def unknown_schedule(name: str) -> ApiError:
    """404: no schedule has this name."""
    message = "no schedule has this name: GET /api/v1/schedules lists them"
    return ApiError(404, f"{echo(name)}: {message}.", [of("name", message)])


def schedule_exists(name: str) -> ApiError:
    """409: there is a schedule of this name."""
    message = f"is taken: choose another, or replace that one with PUT /api/v1/schedules/{name}"
    return ApiError(409, f"The name {name} {message}.", [at("/name", message)])


def unknown_project(name: str) -> ApiError:
    """404: no project has this name."""
    message = "no project has this name: GET /api/v1/projects lists them"
    return ApiError(404, f"{echo(name)}: {message}.", [of("name", message)])


def project_exists(name: str) -> ApiError:
    """409: there is a project of this name."""
    message = f"is taken: choose another, or replace that one with PUT /api/v1/projects/{name}"
    return ApiError(409, f"The name {name} {message}.", [at("/name", message)])


def no_result_yet(status: str) -> ApiError:
    """409: the order has not ended, or was cancelled and will never have a result."""
    if status == "cancelled":
        return ApiError(409, "There is no result: the order was cancelled; POST …/retry reruns it.")
    return ApiError(
        409,
        f"There is no result yet: the order is {status}. Ask again, or add ?wait=SECONDS to "
        "/api/v1/job/<id>.",
        headers={"Retry-After": "1"},
    )


def unavailable(detail: str, retry_after: float = AWAY_RETRY_SECONDS) -> ApiError:
    """503: not now."""
    return ApiError(503, detail, headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


def documented(*statuses: int, headers: Mapping[str, Any] | None = None) -> dict[Any, Any]:
    """The `responses` entries of these error statuses, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": content,
            "headers": dict(headers or {}),
        }
        for status in statuses
    }


# What any endpoint may answer; what follows from its parameters is added by `document`.
EVERYWHERE = documented(500, 503)

_REMEDIES = {
    404: "There is nothing at this address: look in /openapi.json for the paths.",
    405: "This address does not take that method: the Allow header names those it takes.",
    413: "The body is too large: the limit is 1 MiB, 32 MiB for /api/v1/jobs/bulk.",
    500: "The server failed; its log says why. Try again later.",
}


def register(app: Flask) -> None:
    """Make this application answer every exception with a problem document."""
    app.register_error_handler(HTTPException, _http)
    for kind, answer in _ANSWERS.items():
        app.register_error_handler(kind, answer)


def _http(error: HTTPException) -> HTTPException | Response:
    """Answer for every `HTTPException`, uncaught exceptions (500) included."""
    if isinstance(error, ApiError) or error.response is not None or error.code is None:
        return error
    headers = {k: v for k, v in error.get_headers() if k.lower() != "content-type"}
    detail = _REMEDIES.get(error.code) or error.description or error.name
    return ApiError(error.code, detail, headers=headers).get_response()


def _away(error: DatabaseAway) -> Response:
    _log.warning("database away: %s", error)
    setattr(g, AWAY, not isinstance(error, SchemaMissing | RowsLocked))
    detail = "The database cannot be reached, or written, just now: try again."
    if isinstance(error, RowsLocked):
        detail = "Somebody keeps what this needs locked in the database just now: try again."
    if isinstance(error, SchemaMissing):
        detail = "The database is not migrated: run python manage.py migrate on the server."
    elif request.method != "GET" and error.nothing_done:
        detail += " Nothing was changed."
    elif request.method != "GET":
        detail += (
            " Whether the change was made is not known; a submit may be repeated safely with the "
            "same Idempotency-Key."
        )
    return unavailable(detail).get_response()


def _problem(status: int, detail: object, errors: Iterable[Mapping[str, str]] = ()) -> Response:
    return ApiError(status, str(detail), list(errors)).get_response()


# The name, in the context of a request, of whether it found the database away.
AWAY = "capataz_away"

_KEY = "Idempotency-Key"
_ANSWERS: dict[type[Exception], Any] = {
    DatabaseAway: _away,
    Busy: lambda e: unavailable(str(e)).get_response(),
    ledger.UnknownOrder: lambda e: unknown_order(str(e)).get_response(),
    ledger.MoveRefused: lambda e: _problem(409, f"{e}."),
    UnknownAction: lambda e: unknown_action(str(e)).get_response(),
    UnknownSchedule: lambda e: unknown_schedule(str(e)).get_response(),
    ScheduleExists: lambda e: schedule_exists(str(e)).get_response(),
    UnknownProject: lambda e: unknown_project(str(e)).get_response(),
    ProjectInUse: lambda e: _problem(409, f"{e}."),
    ProjectExists: lambda e: project_exists(str(e)).get_response(),
    ledger.KeySpent: lambda e: _problem(409, e, [of(_KEY, str(e))]),
    ledger.KeyReused: lambda e: _problem(422, e, [of(_KEY, str(e))]),
    UnknownType: lambda e: unacceptable("body", type_errors(e)).get_response(),
    PayloadError: lambda e: unacceptable("body", payload_errors(e)).get_response(),
}

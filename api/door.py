"""What every request passes on its way in, and every answer on its way out."""

from __future__ import annotations

import inspect
import re
import secrets
from typing import Any, get_origin, get_type_hints
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, g, request
from flask.globals import request_ctx
from werkzeug.exceptions import MethodNotAllowed

from api import errors
from api.gate import Gate
from api.inputs import Query
from api.json_request import MAX_BODY, MAX_BULK_BODY

# GETs that write: browsers send GETs for any page that asks, so these are guarded like POSTs.
WRITING_GETS = frozenset({"add.get", "job.get_job", "job.get_result"})
BULK = "jobs.submit_batch"
# Whoever watches over a process may add what it likes to the address.
PROBES = frozenset({"health.alive", "health.ready"})

REQUEST_ID = "X-Request-Id"
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

# What every line that a request logs says of it.
_BOUND = ("request_id", "caller")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Door:
    """The checks in front of the endpoints of one application."""

    def __init__(self, app: Flask, gate: Gate) -> None:
        """Call once all endpoints are registered."""
        self._gate = gate
        self._parameters = {
            endpoint: _query_parameters(view)
            for endpoint, view in app.view_functions.items()
            if endpoint not in PROBES
        }
        self._allowed = _methods(app)
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        app.before_request(self._enter)
        app.after_request(self._leave)
        app.teardown_request(lambda _: structlog.contextvars.unbind_contextvars(*_BOUND))

    def _enter(self) -> None:
        g.request_id = _request_id()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)
        endpoint = request.endpoint
        if endpoint is None:  # 404 and 405 follow
            return
        allowed = self._allowed.get(request.path)
        if allowed is not None and request.method not in allowed:
            raise MethodNotAllowed(sorted(allowed))
        g.identity = self._gate.enter(request, endpoint)
        if g.identity.name:
            structlog.contextvars.bind_contextvars(caller=g.identity.name)
        if request.method not in _SAFE or endpoint in WRITING_GETS:
            if endpoint == "add.get" and request.method == "HEAD":
                raise MethodNotAllowed(["GET", "POST", "OPTIONS"])
            if _is_cross_site():
                raise errors.cross_site()
            if endpoint == BULK:
                request.max_content_length = MAX_BULK_BODY
        if request.query_string and endpoint in self._parameters:
            self._check_names(self._parameters[endpoint])

    def _leave(self, response: Response) -> Response:
        response.headers.add(REQUEST_ID, g.get("request_id") or _request_id())
        # `setdefault` looks through all of them each time, which takes as long as a small answer.
        there = {name for name, _ in response.headers}
        for name, value in _HEADERS:
            if name not in there:
                response.headers.add(name, value)
        if "Allow" in there:
            response.headers["Allow"] = ", ".join(sorted(self._methods_here()))
        return response

    def _methods_here(self) -> set[str]:
        """The methods of this address, which takes another method than that of the request."""
        here = self._allowed.get(request.path)
        if here is not None:
            return here
        rule = request.url_rule
        if rule is None:
            refused = request.routing_exception
            assert isinstance(refused, MethodNotAllowed)
            method = next(iter(refused.valid_methods or ()))
            adapter = request_ctx.url_adapter
            assert adapter is not None
            rule, _ = adapter.match(method=method, return_rule=True)
        return self._allowed[rule.rule]

    def _check_names(self, known: dict[str, bool]) -> None:
        bad = []
        for name, values in request.args.lists():
            if name not in known:
                names = ", ".join(known)
                remedy = f"remove it, or use one of {names}" if known else "remove it"
                bad.append(errors.of(errors.echo(name), f"is not known here: {remedy}"))
            elif len(values) > 1 and not known[name]:
                bad.append(errors.of(name, "is given more than once: give it once"))
        if bad:
            raise errors.unacceptable("query", bad)


def _query_parameters(view: Any) -> dict[str, bool]:
    """The names an endpoint knows, and whether each may be repeated."""
    model: type[Query] | None = get_type_hints(inspect.unwrap(view)).get("query")
    if model is None:
        return {}
    return {
        f.alias or name: get_origin(f.annotation) is list for name, f in model.model_fields.items()
    }


def _is_cross_site() -> bool:
    """Whether a browser asks on behalf of a page of another site."""
    headers = request.headers
    if headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return True
    origin = headers.get("Origin")
    if origin is None or headers.get("Sec-Fetch-Site") == "same-origin":
        return False
    return urlsplit(origin).netloc != request.host


def _request_id() -> str:
    """What names this request in logs and answers: the caller's own name for it if it has one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(8)


def _methods(app: Flask) -> dict[str, set[str]]:
    """The methods of each address, without those of others that look alike: /jobs/<id> takes
    DELETE, and /jobs/bulk does not, though it could be an id."""
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        methods = set(rule.methods or ())
        if rule.endpoint == "add.get":
            methods.discard("HEAD")
        found.setdefault(rule.rule, set()).update(methods)
    return found

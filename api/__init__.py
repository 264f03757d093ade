"""HTTP in, rows out."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, g
from flask_openapi.openapi import OpenAPI

from api import document, errors
from api.door import Door
from api.inputs import refuse
from api.json_request import JsonRequest
from api.routes import BLUEPRINTS
from api.services import NAME, Services
from api.shared import Shared
from database import Database
from jobs import registry
from settings import VERSION, Settings, SettingsError

# Connections that are not a request's: of the committer, the waiter, the bell and the broadcaster.
_OWN_CONNECTIONS = 4
# A row that somebody keeps locked must not take all threads from the others.
_LOCK_SECONDS = 2.0


def create_app(
    settings: Settings, database: Database | None = None, *, threads: int = 16
) -> OpenAPI:
    """The WSGI application; `threads` is how many requests the server handles at a time.

    Opens no connection and starts no thread before the first request. Raises `SettingsError`,
    and `jobs.errors.LoadError` for a module of jobs that cannot be imported.
    """
    missing = [name for name in settings.auth if name != "none"]
    if missing:
        raise SettingsError(
            f"CAPATAZ_AUTH: {', '.join(missing)} is not available in this version: listen on "
            "127.0.0.1 behind a proxy that asks for credentials, or set CAPATAZ_AUTH=none"
        )
    registry.load(settings.jobs)
    if database is None:
        database = Database(
            settings.database_url,
            connections=threads + _OWN_CONNECTIONS,
            lock_seconds=_LOCK_SECONDS,
        )
    app = OpenAPI(
        __name__,
        info={"title": "Capataz", "version": VERSION},
        servers=[{"url": "/"}],
        validation_error_model=errors.Problem,
        validation_error_callback=refuse,
        doc_ui=False,
    )
    app.request_class = JsonRequest
    errors.register(app)
    for blueprint in BLUEPRINTS:
        app.register_api(blueprint)
    Shared(app)
    Door(app)
    app.extensions[document.NAME] = document.Document(app)
    services = Services.of(settings, database)
    services.waiter.room = max(1, threads // 2)
    app.extensions[NAME] = services
    app.after_request(_noticing(services))
    return app


def _noticing(services: Services) -> Callable[[Response], Response]:
    """Takes note of answers that say that the database is away."""

    def notice(response: Response) -> Response:
        if g.pop(errors.AWAY, False):
            services.figures.outage.failed()
        return response

    return notice

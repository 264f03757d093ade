"""A page to read and try the API, from files of our own origin: it needs no network beyond it."""

from __future__ import annotations

from importlib import resources
from typing import Any

from flask import Response, send_file
from flask_openapi.blueprint import APIBlueprint

from api import errors
from api.inputs import Path

bp = APIBlueprint("docs", __name__)

# Swagger UI styles its parts from its script, and has pictures of its own as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Capataz: the API</title>
<link rel="icon" href="/docs/swagger.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<main id="docs"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
# A token is asked for where one is needed, and kept in this page only.
_START = """(async () => {
  const headers = {};
  let answer = await fetch("/openapi.json");
  while (answer.status === 401) {
    const token = window.prompt("The API asks who you are. A token, please (cap_…):");
    if (!token) return;
    headers.Authorization = "Bearer " + token.trim();
    answer = await fetch("/openapi.json", {headers});
  }
  SwaggerUIBundle({
    spec: await answer.json(), dom_id: "#docs", deepLinking: true, docExpansion: "none",
    tryItOutEnabled: true, displayRequestDuration: true, validatorUrl: null,
    requestInterceptor: (asked) => {
      if (new URL(asked.url, location).origin === location.origin) {
        Object.assign(asked.headers, headers);
      }
      return asked;
    },
  });
})();
"""
_FILES = {
    "swagger-ui.css": "css/swagger-ui.css",
    "swagger-ui-bundle.js": "js/swagger-ui-bundle.js",
    "swagger.svg": "images/swagger.svg",
}
_HOUR = 3600
_HTML: Any = {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}}


class PartPath(Path):
    """The name of a part of the page."""

    name: str


@bp.get("/docs", summary="This description, to be read and tried", responses={200: _HTML})
def page() -> Response:
    """For people; programs read /openapi.json."""
    response = Response(_PAGE, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@bp.get("/docs/<name>", doc_ui=False)
def file(path: PartPath) -> Response:
    """What the page is made of."""
    if path.name == "start.js":
        return Response(_START, mimetype="text/javascript")
    if path.name not in _FILES:
        raise errors.nothing_here()
    place = resources.files("flask_openapi_swagger") / "templates" / "swagger" / _FILES[path.name]
    with resources.as_file(place) as found:
        return send_file(found, max_age=_HOUR, etag=True, conditional=True)

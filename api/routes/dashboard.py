"""The dashboard: the files that its build has made, with the policy that a browser holds it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, request, send_from_directory
from flask_openapi.blueprint import APIBlueprint

from api import errors
from api.inputs import Path as PathInput

bp = APIBlueprint("dashboard", __name__)

BUILT = Path(__file__).resolve().parents[2] / "dashboard" / "dist"
"""Made by `make dashboard`; looked at on each request, so that a build needs no restart."""

# No script and no style but from files of our own; nothing from, to or inside other sites.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOT_BUILT = (
    "The dashboard is not built: with Node 20 or newer, run `make dashboard`. The API is at "
    "/api/v1.\n"
)
_ASK_EACH_TIME = "no-cache"
# Their names hold a digest of what is in them.
_FOR_GOOD = "public, max-age=31536000, immutable"
_TEXT = {"schema": {"type": "string"}}
_RESPONSES: Any = {
    200: {
        "description": "The page, or one line that says how to build it",
        "content": {"text/html": _TEXT, "text/plain": _TEXT},
    },
    304: {"description": "The page is still the one that `If-None-Match` names"},
}


class AssetPath(PathInput):
    """The name of a file of the dashboard."""

    name: str


@bp.get("/", summary="The dashboard", responses=_RESPONSES)
def page() -> Response:
    """For people; without a build, one line that says how to make it."""
    index = BUILT / "index.html"
    if not index.is_file():
        return Response(NOT_BUILT, mimetype="text/plain")
    response = Response(index.read_bytes(), mimetype="text/html")
    response.add_etag()
    response.make_conditional(request)
    response.headers["Cache-Control"] = _ASK_EACH_TIME
    response.headers["Content-Security-Policy"] = POLICY
    return response


@bp.get("/assets/<name>", doc_ui=False)
def asset(path: AssetPath) -> Response:
    """A script, a style, a font or a picture of the page."""
    folder = BUILT / "assets"
    if not (folder / path.name).is_file():
        raise errors.nothing_here()
    response = _compressed(folder, path.name) or send_from_directory(folder, path.name)
    response.headers["Cache-Control"] = _FOR_GOOD
    return response


def _compressed(folder: Path, name: str) -> Response | None:
    """The file as the build has compressed it, if it has and the browser takes it."""
    if not (folder / f"{name}.gz").is_file():
        return None
    if not request.accept_encodings["gzip"]:
        return None
    plain = send_from_directory(folder, name)
    response = send_from_directory(folder, f"{name}.gz", mimetype=plain.mimetype)
    plain.close()
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response

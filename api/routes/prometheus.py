"""The figures for Prometheus."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from prometheus_client import CONTENT_TYPE_LATEST

from api import errors
from api.services import services

bp = APIBlueprint("prometheus", __name__, abp_responses=errors.EVERYWHERE)

RESPONSE = {
    "description": "Prometheus text",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@bp.get("/metrics", summary="The figures for Prometheus", responses={200: RESPONSE})
def expose() -> Response:
    """Counters, histograms and gauges; at most a second old, and the same in every process."""
    return Response(services().exposition.text(), content_type=CONTENT_TYPE_LATEST)

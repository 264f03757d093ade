"""The global figures."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import exact_json
from api import errors, replies
from api.answers import Metrics
from api.services import services

bp = APIBlueprint("metrics", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


@bp.get("/metrics", summary="The global figures", responses={200: Metrics})
def get_metrics() -> Response:
    """At most a second old; they cost the same however many orders there are."""
    return replies.json_text(exact_json.dumps(services().figures.document()))

"""The registered types of jobs."""

from __future__ import annotations

from flask import Response
from flask_openapi.blueprint import APIBlueprint

import exact_json
from api import errors, replies
from api.answers import JobTypes
from api.services import services
from submissions import offered

bp = APIBlueprint("types", __name__, url_prefix="/api/v1", abp_responses=errors.EVERYWHERE)


@bp.get("/types", summary="The types of jobs", responses={200: JobTypes})
def list_types() -> Response:
    """Each with the JSON Schema of its payload, and the defaults of its orders."""
    settings = services().settings
    kinds = list(map(offered.get, offered.names()))
    items = [
        {
            "type": kind.name,
            "description": kind.description,
            "queue": kind.queue,
            "priority": kind.priority,
            "isolation": kind.isolation,
            "timeout": kind.timeout or settings.timeout_seconds,
            "maxAttempts": kind.max_attempts or settings.max_attempts,
            "maxSilence": kind.max_silence,
            "payloadSchema": kind.schema,
        }
        for kind in kinds
    ]
    return replies.json_text(exact_json.dumps({"items": items, "nextCursor": None}))

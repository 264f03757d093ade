"""What requests made from the OpenAPI document must look like beyond what JSON Schema can say.

Only requests that are to be taken are made to fit; those that are to be refused stay as they are.
"""

from __future__ import annotations

import itertools
from typing import Any

import schemathesis
from hypothesis import strategies as st

_LONGEST_WAIT = 0.01

_numbers = itertools.count()

schemathesis.openapi.format("cron", st.sampled_from(["30 3 * * MON-FRI", "@daily", "*/5 * * * *"]))
schemathesis.openapi.format("timezone", st.sampled_from(["UTC", "Europe/Madrid", "Asia/Tokyo"]))


def _is_to_be_taken(case: Any) -> bool:
    return case.meta is None or bool(case.meta.generation.mode.is_positive)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Mend what only an earlier answer, or another part of the request, can tell."""
    if not _is_to_be_taken(case):
        return
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)  # an answer's, and bound to its filters
        if "wait" in case.query:
            case.query["wait"] = _LONGEST_WAIT
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"  # of one body only
    if isinstance(case.body, dict | list):
        case.body = _mended(case.body)
    if case.operation.path == "/api/v1/schedules/{name}" and isinstance(case.body, dict):
        case.body.pop("name", None)  # if given, that of the address


def _mended(value: Any) -> Any:
    """The same without what trips somebody: numbers that Python writes with an exponent, which
    `add` does not take, and brackets of addresses, at which schemathesis fails when answered."""
    if isinstance(value, dict):
        return {name: _mended(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    if isinstance(value, str) and value.startswith("http"):
        return value.replace("[", "").replace("]", "")
    return 0.5 if isinstance(value, float) and "e" in repr(value) else value

"""What requests made from the OpenAPI document must look like beyond what JSON Schema can say.

Only requests that are to be taken are made to fit; those that are to be refused stay as they are.
"""

from __future__ import annotations

import itertools
from typing import Any

import schemathesis
from hypothesis import strategies as st

_LONGEST_WAIT = 0.01
# The name is in the address, and if given, the same in the body.
NAMED = ("/api/v1/schedules/{name}", "/api/v1/projects/{name}")

_numbers = itertools.count()

schemathesis.openapi.format("cron", st.sampled_from(["30 3 * * MON-FRI", "@daily", "*/5 * * * *"]))
schemathesis.openapi.format("timezone", st.sampled_from(["UTC", "Europe/Madrid", "Asia/Tokyo"]))
schemathesis.openapi.format(
    "repository", st.sampled_from(["https://github.com/a/b", "https://example.org/a/b.git"])
)
schemathesis.openapi.format(
    "callback", st.sampled_from(["https://example.org/hook", "http://192.0.2.7:8080/x?y=1"])
)
schemathesis.openapi.format("git-ref", st.sampled_from(["main", "v1.0", "0" * 40]))
schemathesis.openapi.format("python-file", st.sampled_from(["main.py", "tools/run.py"]))


def _is_to_be_taken(case: Any) -> bool:
    return case.meta is None or bool(case.meta.generation.mode.is_positive)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Mend what only an earlier answer, or another part of the request, can tell."""
    if not _is_to_be_taken(case):
        key = (case.headers or {}).get("Idempotency-Key")
        if isinstance(key, str) and key != key.strip():
            # On the wire a header has no blanks at its ends, and may be a right one without them.
            case.headers["Idempotency-Key"] = f"é{key.strip()}"
        return
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)  # an answer's, and bound to its filters
        if "wait" in case.query:
            case.query["wait"] = _LONGEST_WAIT
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"  # of one body only
    if isinstance(case.body, dict | list):
        case.body = _mended(case.body)
    if case.operation.path in NAMED and isinstance(case.body, dict):
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

"""How routes describe their answers in the OpenAPI document: body, headers, what to ask next."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

SCHEMAS = "#/components/schemas/"

_TEXT = {"type": "string"}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ETag": ("weak; for If-None-Match", _TEXT),
    "Idempotency-Replayed": ("a repeated key answers the first request again", {"const": "true"}),
    "Link": ('the address of the next page, with rel="next"', _TEXT),
    "Location": ("where it is", {"type": "string", "format": "uri-reference"}),
    "Preference-Applied": ("the wait that was granted", _TEXT),
    "Retry-After": ("seconds until it is worth asking again", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("how to say who you are", _TEXT),
    "X-Request-Id": ("names the request, in the server's log too", _TEXT),
}

Responses = dict[str | int | HTTPStatus, Any]


def answer(
    model: type[BaseModel],
    *headers: str,
    says: str = "",
    then: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """A `responses` entry: JSON of this shape with these headers, optional where they end in `?`.

    `then` names, by endpoint, what may be asked next, and from where its parameters come.
    """
    content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}{model.__name__}"}}}
    described: dict[str, Any] = {"content": content, "headers": header_objects(*headers)}
    if says:
        described["description"] = says
    if then:
        described["links"] = {
            operation_id(endpoint): {
                "operationId": operation_id(endpoint),
                "parameters": dict(parameters),
            }
            for endpoint, parameters in then.items()
        }
    return described


def header_objects(*names: str) -> dict[str, Any]:
    """The OpenAPI header objects of these names, optional where they end in `?`."""
    found = {}
    for name in names:
        plain = name.removesuffix("?")
        description, schema = _HEADERS[plain]
        found[plain] = {
            "description": description,
            "required": plain == name,
            "schema": dict(schema),
        }
    return found


def operation_id(endpoint: str) -> str:
    """The `operationId` of an endpoint, fit for the name of a function."""
    return endpoint.replace(".", "_")

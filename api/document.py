"""The OpenAPI document: what the library collects from the routes, completed from what they are.

Paths, parameters and schemas come from the declarations that check requests. Added here is what
follows from them for every operation: the errors it can answer, its id, and the payloads of the
types that are registered.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from typing import Any

from flask import Flask
from flask_openapi.openapi import OpenAPI
from pydantic.json_schema import models_json_schema

import exact_json
from api import errors
from api.access import roles_for
from api.answers import Answer
from api.described import SCHEMAS, header_objects, operation_id
from api.door import PROBES, WRITING_GETS
from api.gate import Gate
from ledger.tokens import ROLES
from submissions import offered

NAME = "capataz.document"
VERSION = "3.1.0"

Json = dict[str, Any]


class Document:
    """The description of one application, made when it is first asked for."""

    def __init__(self, app: OpenAPI, gate: Gate) -> None:
        app.openapi_version = VERSION
        self._gate = gate
        self._app = app

    @functools.cached_property
    def text(self) -> str:
        """The document as JSON."""
        return exact_json.dumps(self._made())

    def _made(self) -> Json:
        document: Json = copy.deepcopy(self._app.api_doc)
        schemas = document["components"]["schemas"]
        schemas.update(_answers())
        for kind in ("JobSubmission", "NewSchedulePlan", "SchedulePut"):
            _tell_types(schemas, kind)
        endpoints = _endpoints(self._app)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                endpoint = endpoints[path, method]
                view = inspect.unwrap(self._app.view_functions[endpoint])
                operation["operationId"] = operation_id(endpoint)
                operation["tags"] = [_tag(path)]
                operation["description"] = " ".join((inspect.getdoc(view) or "").split())
                _tell_errors(operation, endpoint, path, method)
                self._tell_who(operation, endpoint)
                _sort_answers(operation)
        if self._gate.ways:
            schemes = {name: dict(way.scheme) for name, way in self._gate.ways.items()}
            document["components"]["securitySchemes"] = schemes
        return document

    def _tell_who(self, operation: Json, endpoint: str) -> None:
        """Say who may use an operation, and how it answers others, where callers are asked."""
        roles = roles_for(endpoint)
        if not self._gate.ways or roles is None:
            return
        operation["security"] = [{name: []} for name in self._gate.ways]
        named = ", ".join(role for role in ROLES if role in roles)
        operation["description"] = f"{operation['description']} Roles: {named}.".strip()
        operation["responses"] |= errors.documented(401, headers=header_objects("WWW-Authenticate"))
        operation["responses"] |= errors.documented(403)
        operation["responses"] |= errors.documented(429, headers=header_objects("Retry-After"))


def _tag(path: str) -> str:
    """What an operation is listed under: the noun of its path."""
    return path.removeprefix("/api/v1/").strip("/").split("/")[0] or "dashboard"


def _endpoints(app: Flask) -> dict[tuple[str, str], str]:
    return {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower()): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }


def _answers() -> Json:
    """The schemas of all answers, also of those that only a description names."""
    models: list[Any] = []
    todo = [Answer]
    while todo:
        found = todo.pop().__subclasses__()
        models += [(one, "serialization") for one in found]
        todo += found
    _, definitions = models_json_schema(models, ref_template=SCHEMAS + "{model}")
    schemas: Json = definitions["$defs"]
    return schemas


def _tell_errors(operation: Json, endpoint: str, path: str, method: str) -> None:
    """Add the errors that follow from what the operation takes and does."""
    operation["responses"].pop("422", None)  # the library's own idea of it
    statuses = {500}
    if "requestBody" in operation:
        statuses |= {400, 413, 415, 422}
    if endpoint not in PROBES or operation.get("parameters"):
        statuses.add(422)
    if "{" in path:
        statuses.add(404)
    if method != "get" or endpoint in WRITING_GETS:
        statuses.add(403)
    responses = errors.documented(*statuses) | operation["responses"]
    operation["responses"] = responses


def _sort_answers(operation: Json) -> None:
    responses = operation["responses"]
    operation["responses"] = {name: responses[name] for name in sorted(responses, key=str)}
    for response in operation["responses"].values():
        response["headers"] = header_objects("X-Request-Id") | (response.get("headers") or {})


def _moved(schema: Any, place: str) -> Any:
    """The schema with its references led to where it stands now."""
    if isinstance(schema, dict):
        moved = {name: _moved(inner, place) for name, inner in schema.items()}
        if isinstance(schema.get("$ref"), str):
            moved["$ref"] = place + schema["$ref"].removeprefix("#")
        return moved
    return [_moved(inner, place) for inner in schema] if isinstance(schema, list) else schema


def _tell_types(schemas: Json, name: str) -> None:
    """Make one schema a choice among the registered types, each with its payload."""
    general = schemas[name]
    choices = {}
    for kind in map(offered.get, offered.names()):
        one = copy.deepcopy(general)
        one["title"] = f"{name} of type {kind.name}"
        one["properties"]["type"] = {"const": kind.name, "type": "string"}
        place = f"{SCHEMAS}{name}.{kind.name}/properties/payload"
        one["properties"]["payload"] = _moved(kind.schema, place)
        examples = [each for each in one.pop("examples", ()) if each["type"] == kind.name]
        if examples:
            one["examples"] = examples
        choices[kind.name] = f"{name}.{kind.name}"
        schemas[choices[kind.name]] = one
    schemas[name] = {
        "description": general.get("description", ""),
        "oneOf": [{"$ref": SCHEMAS + choice} for choice in choices.values()],
        "discriminator": {
            "propertyName": "type",
            "mapping": {kind: SCHEMAS + choice for kind, choice in choices.items()},
        },
    }

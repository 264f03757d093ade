"""A job's payload: its JSON Schema, its check at submit, and its conversion for a run.

All three come from the annotations of the job's function. pydantic would lose digits of a Decimal
when it reads JSON text itself, and takes "5" and true for numbers when it reads Python values; so
the text is read by `exact_json`, and pydantic checks the values with a schema made strict here.
"""

from __future__ import annotations

import inspect
import logging
import types
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NotRequired, cast, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import (
    PydanticSerializationError,
    SchemaError,
    SchemaValidator,
    ValidationError,
    core_schema,
    to_jsonable_python,
)
from typing_extensions import TypedDict  # pydantic reads typing's only from Python 3.12

import exact_json
from jobs.complaints import complaints
from jobs.errors import PayloadError, RegistrationError
from jobs.strictness import contains, strict

_log = logging.getLogger("capataz.jobs")

_CONTEXT_IS_NOT = (int, float, str, bool, bytes, list, dict, tuple, set, Decimal, None)


class Payload:
    """What the keyword arguments of one job function may be."""

    __slots__ = ("_checker", "_context", "_converter", "_decimals", "_known", "_open", "schema")

    def __init__(self, name: str, function: Callable[..., Any], description: str = "") -> None:
        """Read the annotations of `function`. Raises `RegistrationError`."""
        context, parameters, self._open = _parameters(name, function)
        self._context = context.name
        self._known = tuple(parameters)
        hints = _hints(name, function, parameters)
        adapter = _adapter(name, hints, parameters, open_=self._open)
        self._decimals = contains(adapter.core_schema, "decimal")
        # What comes to a check may hold Decimals anywhere; to a run, only where one is asked for.
        self._checker = _validator(adapter, floats=True)
        self._converter = self._checker if self._decimals else _validator(adapter, floats=False)
        self.schema = _json_schema(name, adapter, parameters, description)
        """JSON Schema of the payload."""

    def check(self, payload: Any) -> None:
        """Check a payload as `exact_json` read it, with or without decimals.

        Raises `PayloadError`.
        """
        self._validate(self._checker, payload)

    def arguments(self, payload_text: str) -> dict[str, Any]:
        """Read a stored payload as the keyword arguments of a run, each of its annotated type.

        Raises `PayloadError`, for instance when the function has changed since the submit.
        """
        try:
            payload = exact_json.loads(payload_text, decimals=self._decimals)
        except exact_json.BadJson as error:
            raise PayloadError([("/payload", f"cannot be read: {error}")]) from None
        return self._validate(self._converter, payload)

    def _validate(self, validator: SchemaValidator, payload: Any) -> dict[str, Any]:
        try:
            arguments: dict[str, Any] = validator.validate_python(payload)
        except ValidationError as error:
            raise PayloadError(complaints(error, payload, self._known)) from None
        except Exception as error:
            # A validator of the author's may raise anything, and no payload may end as a crash.
            _log.exception("the check of a payload failed")
            reason = f"could not be checked ({type(error).__name__})"
            raise PayloadError([("/payload", f"{reason}: send other values")]) from error
        if self._open and self._context in arguments:
            raise PayloadError([(f"/payload/{self._context}", "is taken: use another name")])
        return arguments


def _parameters(
    name: str, function: Callable[..., Any]
) -> tuple[inspect.Parameter, dict[str, inspect.Parameter], bool]:
    """Split a signature in the context, the payload's fields, and whether any field is welcome."""
    where = f"job {name!r}"
    fields: dict[str, inspect.Parameter] = {}
    open_ = False
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise RegistrationError(
            f"{where}: the first parameter is the context: "
            f"write def {function.__name__}(context, ...)"
        )
    context = parameters[0]
    if context.annotation in _CONTEXT_IS_NOT or context.annotation in _CONTEXT_IS_NOT_NAMES:
        raise RegistrationError(
            f"{where}: the first parameter is the context, but {context.name} is annotated as "
            f"something else: put a parameter context before it"
        )
    for parameter in parameters[1:]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise RegistrationError(
                f"{where}: *{parameter.name} cannot be filled from a payload, whose fields have "
                "names: use a list parameter"
            )
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise RegistrationError(
                f"{where}: {parameter.name} is positional-only, but fields are passed by name: "
                "put the / right after the context"
            )
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            open_ = True
        else:
            fields[parameter.name] = parameter
    return context, fields, open_


_CONTEXT_IS_NOT_NAMES = tuple(kind.__name__ for kind in _CONTEXT_IS_NOT if kind is not None)


def _hints(
    name: str, function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """Evaluate the annotations of the payload's fields only.

    The context's and the return's may name what is imported for the type checker alone.
    """
    hints: dict[str, Any] = {}
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    for field, parameter in parameters.items():
        if parameter.annotation is inspect.Parameter.empty:
            hints[field] = Any
            continue
        holder = types.SimpleNamespace(__annotations__={field: parameter.annotation})
        try:
            hints |= get_type_hints(holder, globalns=scope, include_extras=True)
        except (NameError, AttributeError, TypeError, SyntaxError) as error:
            raise RegistrationError(
                f"job {name!r}: the annotation of {field} cannot be read ({error}): define or "
                "import what it names at the top of the module, above the function"
            ) from error
    return hints


def _adapter(
    name: str,
    hints: Mapping[str, Any],
    parameters: Mapping[str, inspect.Parameter],
    *,
    open_: bool,
) -> TypeAdapter[Any]:
    # A TypedDict, not a model: its fields may have any name, also `json` or `_private`, and what
    # is left out stays out, so that the function's own defaults apply.
    fields = {
        field: hint if parameters[field].default is inspect.Parameter.empty else NotRequired[hint]
        for field, hint in hints.items()
    }
    shape = cast(Any, TypedDict)("Payload", fields)
    shape.__pydantic_config__ = ConfigDict(title=name, extra="allow" if open_ else "forbid")
    try:
        return TypeAdapter(shape)
    except (PydanticUserError, SchemaError, TypeError) as error:
        culprits = [field for field, hint in hints.items() if not _is_checkable(hint)]
        reason = str(error).partition("\n")[0]
        raise RegistrationError(
            f"job {name!r}: JSON cannot be checked against the annotation of "
            f"{', '.join(culprits) or 'its parameters'} ({reason}): use JSON's own types, Decimal, "
            "datetime, UUID, Enum, dataclasses or pydantic models"
        ) from error


def _validator(adapter: TypeAdapter[Any], *, floats: bool) -> SchemaValidator:
    schema = cast(Any, strict(adapter.core_schema, floats=floats))
    # Else a pydantic model inside is checked by its own, lax validator.
    return SchemaValidator(schema, _use_prebuilt=False)


def _is_checkable(hint: Any) -> bool:
    try:
        TypeAdapter(hint)
    except (PydanticUserError, SchemaError, TypeError):
        return False
    return True


class _PayloadSchema(GenerateJsonSchema):
    """pydantic's JSON Schema, except that a Decimal is a number and never text."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        either = super().decimal_schema(schema)
        return next(one for one in either["anyOf"] if one["type"] == "number")


def _json_schema(
    name: str,
    adapter: TypeAdapter[Any],
    parameters: Mapping[str, inspect.Parameter],
    description: str,
) -> dict[str, Any]:
    try:
        schema = adapter.json_schema(schema_generator=_PayloadSchema)
    except PydanticUserError as error:
        raise RegistrationError(
            f"job {name!r}: a parameter has no JSON Schema ({error.message}): annotate it with a "
            "type that JSON can hold"
        ) from error
    if description:
        schema["description"] = description
    for field, shape in schema.get("properties", {}).items():
        default = parameters[field].default
        if default is not inspect.Parameter.empty:
            _show_default(shape, default)
    return schema


def _show_default(shape: dict[str, Any], default: Any) -> None:
    try:
        number = isinstance(default, Decimal)
        shape["default"] = float(default) if number else to_jsonable_python(default)
    except PydanticSerializationError:
        pass  # only the function can make it

"""What requests say of projects, and the order for the ledger that they ask for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

import ledger
from api import errors, intake
from api.inputs import Body, Digits, Path, Query, Whole
from api.schedule_inputs import Timing
from api.schemas import MAX_PAGE
from jobs.errors import PayloadError
from ledger.projects import TYPE
from settings import Settings
from submissions.schema import JobSubmission, Name, Priority, Seconds, Tag

_ORDER = ("queue", "priority", "max_attempts", "timeout", "tags")
_PAYLOAD = ("url", "ref", "entry", "args", "env", "requirements")


Argument = Annotated[str, Field(max_length=4_000, pattern=r"^[^\x00]*$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class ProjectPath(Path):
    """Which project."""

    name: Annotated[Name, Field(examples=["reports"])]


class ProjectPlan(Body):
    """A repository to run, and how."""

    url: Annotated[
        str,
        Field(
            max_length=400,
            description="https://HOST/OWNER/REPOSITORY",
            json_schema_extra={"format": "repository"},
        ),
    ]
    ref: Annotated[str, Field(json_schema_extra={"format": "git-ref"})] | None = Field(
        None, description="a branch, a tag or a whole commit id"
    )
    entry: Annotated[str, Field(json_schema_extra={"format": "python-file"})] | None = Field(
        None, description="the file to run; main.py if left out"
    )
    args: list[Argument] | None = Field(None, max_length=100, description="the program's arguments")
    env: list[Variable] | None = Field(
        None, max_length=100, description="names of variables that it gets"
    )
    requirements: bool | None = Field(None, description="install what requirements.txt asks for")
    queue: Name | None = None
    priority: Priority | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1_000), Whole] | None = None
    timeout: Seconds | None = Field(None, description="seconds for one attempt")
    tags: list[Tag] = Field(default_factory=list, max_length=20)


_EXAMPLE: JsonDict = {"url": "https://github.com/capataz/reports", "args": ["--month", "1"]}


class NewProjectPlan(ProjectPlan):
    """A new project."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "reports", **_EXAMPLE}]})

    name: Name


class ProjectPut(ProjectPlan):
    """A project under the name in the address."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name | None = Field(None, description="if given, that of the address")


class ProjectSchedulePlan(Timing):
    """When to run a project by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"expression": "30 3 * * MON-FRI", "timezone": "Europe/Madrid"}]
        }
    )


class ProjectsQuery(Query):
    """Which page of the list."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), Digits] = 50
    cursor: Annotated[str, Field(max_length=100)] | None = None


def wanted(settings: Settings, name: str, plan: ProjectPlan) -> ledger.NewOrder:
    """The order that runs this project. Raises the 422 that names each bad field."""
    given: dict[str, Any] = {field: getattr(plan, field) for field in _PAYLOAD}
    payload = {"name": name} | {field: one for field, one in given.items() if one is not None}
    shared = {field: getattr(plan, field) for field in _ORDER}
    submission = JobSubmission.model_construct(type=TYPE, payload=payload, **shared)
    try:
        return intake.order(settings, "", submission)
    except PayloadError as error:
        told = [errors.at(pointer.removeprefix("/payload"), text) for pointer, text in error.errors]
        raise errors.unacceptable("body", told) from None


def same_name(path: ProjectPath, plan: ProjectPut) -> str:
    """The name in the address. Raises the 422 when the body says another."""
    if plan.name not in (None, path.name):
        message = f"is not the name in the address, {path.name}: leave it out"
        raise errors.unacceptable("body", [errors.at("/name", message)])
    return path.name

"""What requests say of actions on all orders that match."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from api import errors
from api.inputs import Body, Moment, Path
from api.schemas import EXAMPLE_ID, Status, Text
from ledger import parse_id
from submissions.schema import Priority, Tag


def _action_id(value: str) -> str:
    found = parse_id(value)
    if found is None:
        raise errors.unknown_action(value)
    return found


class ActionPath(Path):
    """The id of an action."""

    id: Annotated[
        str,
        BeforeValidator(_action_id),
        Field(examples=[EXAMPLE_ID], json_schema_extra={"format": "uuid"}),
    ]


class ActionFilter(Body):
    """The filters of the list; without any, all orders."""

    status: list[Status] = Field(default_factory=list, max_length=6)
    type: Text | None = None
    queue: Text | None = None
    priority: Priority | None = None
    worker: Text | None = None
    tag: Tag | None = None
    owner: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    q: Text | None = None


class ActionRequest(Body):
    """What to do with all orders that match and were made before it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"action": "cancel", "filter": {"queue": "naps"}, "dryRun": True}]
        }
    )

    action: Literal["cancel", "retry", "delete"]
    filter: ActionFilter
    dry_run: bool = Field(False, description="only count those that match")

"""A project as every endpoint shows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from pydantic import Field

import exact_json
from api.answers import Answer
from api.presenter import moment
from ledger.projects import ProjectRow, Run, Runs
from models import PRIORITY_NAMES
from submissions.schema import Priority


class ProjectRun(Answer):
    """An order that ran a project."""

    job_id: str
    status: str
    created_on: datetime
    started_on: datetime | None
    completed_on: datetime | None
    duration_ms: int | None = Field(description="from start to end, whatever the outcome")


class SavedProject(Answer):
    """A repository saved under a name."""

    name: str
    url: str
    ref: str | None
    entry: str
    args: list[str]
    env: list[str]
    requirements: bool | None
    queue: str
    priority: Priority
    max_attempts: int
    timeout: float
    tags: list[str]
    owner: str
    created_on: datetime
    changed_on: datetime


class Project(SavedProject):
    """A project with its runs."""

    runs: list[ProjectRun] = Field(description="the latest twenty, newest first")
    ended_runs: int = Field(description="how many of the latest thousand have ended")
    mean_duration_ms: float | None = Field(description="their mean, from start to end")


class ProjectPage(Answer):
    """Projects by name."""

    items: list[SavedProject]
    next_cursor: str | None


def project(row: ProjectRow, runs: Runs) -> str:
    """The JSON of a project."""
    recent = ",".join(map(_run, runs.recent))
    mean = exact_json.dumps(None if runs.mean_ms is None else round(runs.mean_ms, 1))
    return f'{_text(row)[:-1]},"runs":[{recent}],"endedRuns":{runs.ended},"meanDurationMs":{mean}}}'


def page(rows: Iterable[ProjectRow], next_cursor: str | None) -> str:
    """The JSON of a page of projects."""
    items = ",".join(map(_text, rows))
    cursor = "null" if next_cursor is None else quote(next_cursor)
    return f'{{"items":[{items}],"nextCursor":{cursor}}}'


def _text(row: ProjectRow) -> str:
    said: dict[str, Any] = exact_json.loads(row.payload)
    shown = exact_json.dumps(
        {
            "name": row.name,
            "url": said.get("url"),
            "ref": said.get("ref"),
            "entry": said.get("entry", "main.py"),
            "args": said.get("args", []),
            "env": said.get("env", []),
            "requirements": said.get("requirements"),
            "queue": row.queue,
            "priority": PRIORITY_NAMES[row.priority],
            "maxAttempts": row.max_attempts,
            "timeout": row.timeout_ms / 1000,
            "tags": exact_json.loads(row.tags or "[]"),
            "owner": row.owner,
        }
    )
    times = f'"createdOn":{moment(row.created_on)},"changedOn":{moment(row.changed_on)}'
    return f"{shown[:-1]},{times}}}"


def _run(run: Run) -> str:
    took = None
    if run.started_on is not None and run.completed_on is not None:
        took = run.completed_on - run.started_on
    return (
        f'{{"jobId":{quote(run.id)},"status":{quote(run.status)},'
        f'"createdOn":{moment(run.created_on)},"startedOn":{moment(run.started_on)},'
        f'"completedOn":{moment(run.completed_on)},"durationMs":{exact_json.dumps(took)}}}'
    )

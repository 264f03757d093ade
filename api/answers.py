"""What the endpoints answer, for the OpenAPI document only: answers are built as text."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.schemas import Level, Status
from submissions.schema import Priority


class Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class JobError(Answer):
    """Why an attempt or an order failed."""

    type: str
    message: str
    traceback: str | None = None
    output: str | None = None
    signal: str | None = None
    exit_code: int | None = None
    max_rss_mb: float | None = None
    cpu_seconds: float | None = None


class Progress(Answer):
    """How far a job says it is."""

    percent: float
    message: str


class JobOrder(Answer):
    """An order, as every endpoint shows it. In a list, long JSON is an object with `truncated`."""

    job_id: str
    type: str
    queue: str
    status: Status
    priority: Priority
    payload: Any = Field(description="fields whose name says secret are shown as ***")
    result: Any
    error: JobError | None
    attempts: int
    max_attempts: int
    progress: Progress | None
    worker: str | None
    created_on: datetime
    run_at: datetime
    started_on: datetime | None
    last_updated: datetime
    completed_on: datetime | None
    retrieved_on: datetime | None
    execution_time_ms: int | None
    owner: str
    tags: list[str]
    copy_of: str | None = None
    schedule: str | None = None
    project: str | None = None
    sandbox: str | None = None


class PastAttempt(Answer):
    """One run of an order. Several may have one `number`: an attempt that was handed back is not
    counted, and a retry by hand counts from 1 again. No two have the same `lease`."""

    number: int
    lease: int
    worker: str | None = Field(description="null when its manager died before it told")
    started_on: datetime | None
    ended_on: datetime | None
    outcome: Literal[
        "running",
        "completed",
        "failed",
        "cancelled",
        "error",
        "timed_out",
        "crashed",
        "worker_lost",
        "handed_back",
    ]
    error: JobError | None


class JobDetail(JobOrder):
    """An order with its attempts, the oldest first, and what can be done with it.

    `crashes` are those among `attempts` that count as crashes and not against `maxAttempts`.
    """

    crashes: int
    history: list[PastAttempt]
    links: dict[str, str]


class JobPage(Answer):
    """Orders, newest first. `searchedTo` is there when a search gave up, and says how far it is."""

    items: list[JobOrder]
    next_cursor: str | None
    searched_to: datetime | None = None


class JobCount(Answer):
    """How many orders match: a number, or text such as `10000+` for at least so many."""

    count: int | Annotated[str, Field(pattern=r"^[0-9]+\+$")]


class BulkAction(Answer):
    """What is done to all orders that match. `total` is how many do, once they are counted;
    `done` how many were moved: others may have been moved by somebody else meanwhile."""

    action_id: str
    action: Literal["cancel", "retry", "delete"]
    dry_run: bool
    state: Literal["counting", "working", "done"]
    total: int
    done: int
    owner: str
    created_on: datetime
    ended_on: datetime | None


class JobIds(Answer):
    """The ids of a batch, in its order."""

    job_ids: list[str]


class JobState(Answer):
    """Only the state of an order."""

    job_id: str
    status: Status
    attempts: int
    progress: Progress | None
    last_updated: datetime


class JobLine(Answer):
    """A line that a job printed or logged; in the stream `dropped` a mark where lines are missing.

    `time` is by the clock of the manager's host. `level` is null for what was printed.
    """

    seq: int
    time: datetime
    attempt: int
    lease: int
    stream: Literal["stdout", "stderr", "log", "dropped"]
    level: Level | None
    line: str


class JobLines(Answer):
    """Lines of an order, the oldest first; `dropped` of all its lines are missing.

    `nextCursor` is the next `after`, null when the order has ended and all was shown.
    """

    items: list[JobLine]
    next_cursor: str | None
    dropped: int


class Event(Answer):
    """Something that happened. `type` is null also when the order was deleted since.

    `details` has what the sentence says, for programs: times in ms since 1970, delays in ms.
    """

    id: str
    timestamp: datetime
    event: str
    description: str
    job: str | None
    type: str | None
    worker: str | None
    manager: str | None
    details: dict[str, Any]


class EventPage(Answer):
    """Events, newest first. `searchedTo` is there when a search gave up, and says how far it is."""

    items: list[Event]
    next_cursor: str | None
    searched_to: datetime | None = None


class Reason(Answer):
    """Why an order does not run, or end: what it is, and what to do; facts stand beside."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    remedy: str


class Why(Answer):
    """The reasons, the most decisive first, as of `checkedOn` by the database's clock."""

    job_id: str
    status: Status
    checked_on: datetime
    reasons: list[Reason]


class WorkerCount(Answer):
    active: int
    idle: int


class TaskCount(Answer):
    pending: int
    in_progress: int
    completed: int
    failed: int


class Metrics(Answer):
    """The global figures, at most a second old."""

    system_status: str
    status_reason: str
    status_since: datetime
    workers: WorkerCount
    tasks: TaskCount
    total: int
    retrieved: int
    cancelled: int
    average_execution_time_ms: int
    uptime: str
    oldest_pending_seconds: float
    processed_per_minute: int
    updated_on: datetime
    warning: str | None = None


class WorkerState(Answer):
    """A worker: percent of one core; RAM is the manager's when `ramShared`.

    `currentJob` of a lost worker is the order that it last had, and `currentJobStatus` what became
    of it.
    """

    worker_id: str
    manager: str
    state: Literal["starting", "idle", "busy", "hung", "draining", "lost"]
    kind: Literal["thread", "process"]
    cpu_percent: float | None
    ram_mb: float | None
    ram_shared: bool
    assigned: int
    done: int
    current_job: str | None
    current_job_status: Status | None
    last_heartbeat: datetime


class ManagerState(Answer):
    """A manager; `proof` says what would prove its death. `queues` is null when it serves all.

    One that has missed three heartbeats is `silent` until it beats again, or is lost.
    """

    manager_id: str
    host: str
    pid: int
    version: str
    slots: int
    transport: str
    queues: list[str] | None
    state: Literal["running", "draining", "silent", "lost"]
    started_on: datetime
    last_heartbeat: datetime
    proof: Literal["lock", "none"]


class WorkerPage(Answer):
    """Workers by manager and number, and all managers."""

    items: list[WorkerState]
    next_cursor: str | None
    managers: list[ManagerState]


class JobType(Answer):
    """A registered type of job, and what an order of it gets unless it says otherwise."""

    type: str
    description: str
    queue: str
    priority: Priority
    isolation: str
    timeout: float
    max_attempts: int
    max_silence: float | None
    payload_schema: dict[str, Any]


class JobTypes(Answer):
    """All registered types, by name."""

    items: list[JobType]
    next_cursor: None


class QueueState(Answer):
    """Whether claims from a queue are stopped; `*` stands for all queues.

    `allPaused` names everything that is paused now, so a queue that stays paused is seen.
    """

    queue: str
    paused: bool
    all_paused: list[str]


class Health(Answer):
    status: str

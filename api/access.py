"""The one table of who may use which route.

A route without a row is closed to all. What belongs to orders is `READ_OWN` and the like where a
customer sees and cancels its own orders only; the routes themselves see to that, by `ownership`.
"""

from __future__ import annotations

from typing import Final

from ledger.tokens import ADMIN, CUSTOMER, OPERATOR, ROLES, VIEWER

Roles = frozenset[str]

OPEN: Final = None  # to everybody, without credentials
EVERYBODY: Final = frozenset(ROLES)
READ: Final = frozenset({VIEWER, OPERATOR, ADMIN})
READ_OWN: Final = EVERYBODY
SUBMIT: Final = frozenset({CUSTOMER, OPERATOR, ADMIN})
CANCEL_OWN: Final = SUBMIT
ACT: Final = frozenset({OPERATOR, ADMIN})

TABLE: Final[dict[str, Roles | None]] = {
    # It reveals nothing, and what watches over a process has no token.
    "health.alive": OPEN,
    "health.ready": OPEN,
    # The pages are the same everywhere; what they show is behind other routes.
    "dashboard.page": OPEN,
    "dashboard.asset": OPEN,
    "docs.page": OPEN,
    "docs.file": OPEN,
    "health.document": EVERYBODY,
    "types.list_types": EVERYBODY,
    "add.get": SUBMIT,
    "add.post": SUBMIT,
    "jobs.submit": SUBMIT,
    "jobs.submit_batch": SUBMIT,
    "job.get_job": READ_OWN,
    "job.get_status": READ_OWN,
    "job.get_result": READ_OWN,
    "jobs.list_jobs": READ_OWN,
    "jobs.count": READ_OWN,
    "jobs.get": READ_OWN,
    "tasks.list_tasks": READ_OWN,
    "tasks.get_task": READ_OWN,
    "why.why": READ_OWN,
    "logs.logs": READ_OWN,
    "events.list_events": READ_OWN,
    "stream.stream": READ_OWN,
    "jobs.cancel": CANCEL_OWN,
    "actions.start": CANCEL_OWN,
    "actions.get": READ_OWN,
    "jobs.retry": ACT,
    "jobs.delete": ACT,
    "workers.list_workers": READ,
    "workers_status.workers_status": READ,
    "metrics.get_metrics": READ,
    "series.get_series": READ,
    "prometheus.expose": READ,
    "queues.list_queues": READ,
    "queues.pause": ACT,
    "queues.resume": ACT,
    "queues.pause_all": ACT,
    "queues.resume_all": ACT,
    "schedules.list_schedules": READ,
    "schedules.get": READ,
    "schedules.create": ACT,
    "schedules.put": ACT,
    "schedules.delete": ACT,
    "schedules.pause": ACT,
    "schedules.resume": ACT,
    "schedules.run": ACT,
    "projects.list_projects": READ,
    "projects.get": READ,
    "projects.create": ACT,
    "projects.put": ACT,
    "projects.delete": ACT,
    "projects.run": ACT,
    "projects.put_schedule": ACT,
}

NOBODY: Final[Roles] = frozenset()


def roles_for(endpoint: str) -> Roles | None:
    """Who may use an endpoint; None is everybody, without credentials."""
    return TABLE.get(endpoint, NOBODY)

"""The endpoints, one file a noun."""

from api.routes import (
    add,
    events,
    health,
    job,
    jobs,
    logs,
    metrics,
    projects,
    queues,
    schedules,
    tasks,
    types,
    why,
    workers,
)

BLUEPRINTS = (
    add.bp,
    job.bp,
    jobs.bp,
    why.bp,
    logs.bp,
    events.bp,
    types.bp,
    queues.bp,
    schedules.bp,
    projects.bp,
    workers.bp,
    metrics.bp,
    health.bp,
    tasks.bp,
    workers.status_bp,
)

"""The endpoints, one file a noun."""

from api.routes import (
    actions,
    add,
    docs,
    events,
    health,
    job,
    jobs,
    logs,
    metrics,
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
    actions.bp,
    why.bp,
    logs.bp,
    events.bp,
    types.bp,
    queues.bp,
    schedules.bp,
    workers.bp,
    metrics.bp,
    health.bp,
    docs.bp,
    tasks.bp,
    workers.status_bp,
)

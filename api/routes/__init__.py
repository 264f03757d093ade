"""The endpoints, one file a noun."""

from api.routes import (
    add,
    dashboard,
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
    why.bp,
    logs.bp,
    events.bp,
    types.bp,
    queues.bp,
    schedules.bp,
    workers.bp,
    metrics.bp,
    health.bp,
    tasks.bp,
    dashboard.bp,
    workers.status_bp,
)

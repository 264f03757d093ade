"""The endpoints, one file a noun."""

from api.routes import (
    add,
    health,
    job,
    jobs,
    metrics,
    queues,
    schedules,
    tasks,
    types,
    workers,
)

BLUEPRINTS = (
    add.bp,
    job.bp,
    jobs.bp,
    types.bp,
    queues.bp,
    schedules.bp,
    workers.bp,
    metrics.bp,
    health.bp,
    tasks.bp,
    workers.status_bp,
)

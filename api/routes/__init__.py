"""The endpoints, one file a noun."""

from api.routes import add, health, job, jobs, metrics, queues, tasks, types

BLUEPRINTS = (
    add.bp,
    job.bp,
    jobs.bp,
    types.bp,
    queues.bp,
    metrics.bp,
    health.bp,
    tasks.bp,
)

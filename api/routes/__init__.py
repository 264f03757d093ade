"""The endpoints, one file a noun."""

from api.routes import add, health, job, jobs, metrics, queues, schedules, tasks, types

BLUEPRINTS = (
    add.bp,
    job.bp,
    jobs.bp,
    types.bp,
    queues.bp,
    schedules.bp,
    metrics.bp,
    health.bp,
    tasks.bp,
)

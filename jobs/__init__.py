"""What the author of a job needs: `from jobs import job`."""

from jobs.context import Context
from jobs.errors import Fail, Retry
from jobs.registry import job

__all__ = ["Context", "Fail", "Retry", "job"]

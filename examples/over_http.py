"""Submits ten tasks over HTTP: python -m examples.over_http [URL]"""

from __future__ import annotations

import json
import sys
import urllib.request
import uuid
from collections.abc import Sequence

from examples.tasks import Task, random_tasks

URL = "http://127.0.0.1:8000"


def publish(url: str, tasks: Sequence[Task]) -> list[str]:
    """Submit them one by one; the ids of their orders. Raises `OSError`."""
    return [_submit(url, task) for task in tasks]


def _submit(url: str, task: Task) -> str:
    request = urllib.request.Request(  # noqa: S310 (our own server)
        f"{url.rstrip('/')}/api/v1/jobs",
        json.dumps(task).encode(),
        # When no answer comes, the same request with the same key makes no second order.
        {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        job: str = json.load(answer)["jobId"]
    return job


if __name__ == "__main__":
    for job in publish(sys.argv[1] if sys.argv[1:] else URL, random_tasks()):
        print(job)

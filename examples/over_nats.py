"""Publishes ten tasks over NATS JetStream: python -m examples.over_nats [URL]"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Sequence

import nats

from examples.tasks import Task, random_tasks

URL = "nats://127.0.0.1:4222"
SUBJECT = "capataz.submit"
ANSWER_SECONDS = 30.0


def publish(url: str, tasks: Sequence[Task]) -> list[str]:
    """Publish them, and wait for the ids of their orders. Raises `nats.errors.Error`."""
    return asyncio.run(_publish(url, tasks))


async def _publish(url: str, tasks: Sequence[Task]) -> list[str]:
    connection = await nats.connect(url)
    try:
        stream = connection.jetstream()
        answers = await connection.subscribe(connection.new_inbox())
        keys = [str(uuid.uuid4()) for _ in tasks]
        for key, task in zip(keys, tasks, strict=True):
            # The same id again, after a publish that nobody confirmed, makes no second order.
            headers = {"Nats-Msg-Id": key, "Reply-To": answers.subject}
            await stream.publish(SUBJECT, json.dumps(task).encode(), headers=headers)
        jobs: dict[str, str] = {}
        while len(jobs) < len(keys):
            message = await answers.next_msg(timeout=ANSWER_SECONDS)
            answer = json.loads(message.data)
            if "id" not in answer:
                raise nats.errors.Error(f"refused: {answer}")
            jobs[(message.headers or {})["Correlation-Id"]] = answer["id"]
        return [jobs[key] for key in keys]
    finally:
        await connection.close()


if __name__ == "__main__":
    for job in publish(sys.argv[1] if sys.argv[1:] else URL, random_tasks()):
        print(job)

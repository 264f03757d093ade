"""Publishes ten tasks over RabbitMQ: python -m examples.over_rabbitmq [URL]"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Sequence

import pika

from examples.tasks import Task, random_tasks

URL = "amqp://guest:guest@127.0.0.1:5672/%2F"
QUEUE = "capataz.submit"
ANSWER_SECONDS = 30.0


def publish(url: str, tasks: Sequence[Task]) -> list[str]:
    """Publish them, and wait for the ids of their orders.

    Raises `pika.exceptions.AMQPError`, `TimeoutError`.
    """
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        inbox = channel.queue_declare("", exclusive=True).method.queue
        keys = [str(uuid.uuid4()) for _ in tasks]
        for key, task in zip(keys, tasks, strict=True):
            # The same id again, after a publish that nobody confirmed, makes no second order.
            properties = pika.BasicProperties(delivery_mode=2, message_id=key, reply_to=inbox)
            channel.basic_publish("", QUEUE, json.dumps(task).encode(), properties, mandatory=True)
        jobs: dict[str, str] = {}
        for method, properties, body in channel.consume(
            inbox, auto_ack=True, inactivity_timeout=ANSWER_SECONDS
        ):
            if method is None:
                raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s: is a manager running?")
            answer = json.loads(body)
            if "id" not in answer:
                raise ValueError(f"refused: {answer}")
            jobs[properties.correlation_id] = answer["id"]
            if len(jobs) == len(keys):
                break
        return [jobs[key] for key in keys]
    finally:
        connection.close()


if __name__ == "__main__":
    for job in publish(sys.argv[1] if sys.argv[1:] else URL, random_tasks()):
        print(job)

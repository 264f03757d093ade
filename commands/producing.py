"""A load of random work, to watch orders pass: `sleep` orders of one to five seconds."""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import click

import ledger
from addresses import written
from commands.common import command_errors, ready_database
from database import Database, Sql
from examples.tasks import Task, random_tasks
from ledger import NewOrder, Request
from ledger.hints import Bell
from ledger.ids import text_id
from models import COMPLETED, PRIORITIES, RETRIEVED
from settings import Settings

T = TypeVar("T")

# The programs that do the same without anything of ours, by how they send it.
PROGRAMS = {
    "http": "examples.over_http",
    "nats": "examples.over_nats",
    "rabbitmq": "examples.over_rabbitmq",
}
BATCH = 1_000
POLL_SECONDS = 0.1

ENDED = Sql("SELECT id, status FROM job_order WHERE id {among} AND completed_on IS NOT NULL")


def produce(
    database: Database,
    count: int,
    chance: random.Random | None = None,
    publish: Callable[[Sequence[Task]], list[str]] | None = None,
) -> bool:
    """Submit so many orders and show a bar until all have ended; whether all completed.

    `publish` sends them, and answers their ids; without it they go into the database. Raises
    `DatabaseAway`.
    """
    begin = time.monotonic()
    chance = chance or random.Random()  # noqa: S311 (no secret)
    tasks = random_tasks(count, chance)
    ids = _submit(database, tasks) if publish is None else publish(tasks)
    if not any(manager.beats for manager in ledger.managers(database)):
        click.echo("no manager is beating: the orders wait for one", err=True)
    ended: dict[str, str] = {}
    with click.progressbar(length=count, label=f"{count} orders", file=sys.stderr) as bar:
        while len(ended) < count:
            news = _ended(database, [one for one in ids if one not in ended])
            ended |= news
            bar.update(len(news))
            if len(ended) < count:
                time.sleep(POLL_SECONDS)
    good = sum(status in (COMPLETED, RETRIEVED) for status in ended.values())
    click.echo(f"{good} of {count} completed in {time.monotonic() - begin:.1f} s")
    return good == count


@click.command("produce")
@click.option("--count", type=click.IntRange(1, 100_000), default=10, show_default=True)
@click.option(
    "--via",
    type=click.Choice(["database", *PROGRAMS]),
    default="database",
    show_default=True,
    help="How to send it: into the database, over HTTP, or by a broker.",
)
@click.option("--url", help="Where to, instead of what the settings say.")
@command_errors
def command(count: int, via: str, url: str | None) -> None:
    """Submit random work, `sleep` of 1 to 5 s in mixed priorities, and wait until it has ended.

    The orders stay when this is interrupted. Exits with 1 when any did not complete.
    """
    database = ready_database()
    publish = None if via == "database" else partial(_publish, via, _place(via, url))
    sys.exit(0 if produce(database, count, publish=publish) else 1)


def _place(via: str, url: str | None) -> str:
    settings = Settings.from_env()
    http = f"http://{written(settings.host, settings.port)}"
    found = url or {"http": http, "nats": settings.nats_url, "rabbitmq": settings.rabbitmq_url}[via]
    if not found:
        raise click.UsageError(f"{via.upper()}_URL is not set: set it, or say --url")
    return found


def _publish(via: str, url: str, tasks: Sequence[Task]) -> list[str]:
    program = importlib.import_module(PROGRAMS[via])
    try:
        ids: list[str] = program.publish(url, tasks)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise click.ClickException(f"could not send it by {via}: {reason}") from None
    return ids


def _submit(database: Database, tasks: Sequence[Task]) -> list[str]:
    ids: list[str] = []
    bell = Bell(database)
    try:
        for some in _slices(tasks):
            orders = list(map(_order, ledger.new_ids(len(some)), some))
            ledger.submit(database, [Request(orders)])
            bell.ring()
            ids += [order.id for order in orders]
    finally:
        bell.close()
    return ids


def _order(order_id: str, task: Task) -> NewOrder:
    payload = json.dumps(task["payload"])
    return NewOrder(order_id, task["type"], payload, priority=PRIORITIES[task["priority"]])


def _ended(database: Database, ids: Sequence[str]) -> dict[str, str]:
    """Those of these orders that have ended, with their status."""
    found: dict[str, str] = {}
    for some in _slices(ids):
        rows = database.read(ENDED, {"ids": database.ids(some)})
        found |= {text_id(order_id): status for order_id, status in rows}
    return found


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


COMMANDS = {"produce": command}

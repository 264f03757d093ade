"""A load of random work, to watch orders pass: `sleep` orders of one to five seconds."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

import click

import ledger
from commands.common import command_errors, ready_database
from database import Database, Sql
from ledger import NewOrder, Request
from ledger.hints import Bell
from ledger.ids import text_id
from models import COMPLETED, PRIORITIES, RETRIEVED

T = TypeVar("T")

LEAST_SECONDS, MOST_SECONDS = 1.0, 5.0
BATCH = 1_000
POLL_SECONDS = 0.1

ENDED = Sql("SELECT id, status FROM job_order WHERE id {among} AND completed_on IS NOT NULL")


def produce(database: Database, count: int, chance: random.Random | None = None) -> bool:
    """Submit so many orders and show a bar until all have ended; whether all completed.

    Raises `DatabaseAway`.
    """
    begin = time.monotonic()
    ids = _submit(database, count, chance or random.Random())  # noqa: S311 (no secret)
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
@command_errors
def command(count: int) -> None:
    """Submit random work, `sleep` of 1 to 5 s in mixed priorities, and wait until it has ended.

    The orders stay when this is interrupted. Exits with 1 when any did not complete.
    """
    sys.exit(0 if produce(ready_database(), count) else 1)


def _submit(database: Database, count: int, chance: random.Random) -> list[str]:
    ids: list[str] = []
    bell = Bell(database)
    try:
        for some in _slices(range(count)):
            orders = [_order(one, chance) for one in ledger.new_ids(len(some))]
            ledger.submit(database, [Request(orders)])
            bell.ring()
            ids += [order.id for order in orders]
    finally:
        bell.close()
    return ids


def _order(order_id: str, chance: random.Random) -> NewOrder:
    seconds = round(chance.uniform(LEAST_SECONDS, MOST_SECONDS), 1)
    priority = chance.choice(list(PRIORITIES.values()))
    return NewOrder(order_id, "sleep", json.dumps({"seconds": seconds}), priority=priority)


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

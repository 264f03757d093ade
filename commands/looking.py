"""The commands that only look: orders, workers, schedules, and why an order does not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

import exact_json
import ledger
from api import cursors, job_list, presenter, schedule_presenter, why_presenter, worker_presenter
from api.errors import ApiError
from api.presenter import plain_moment
from api.schedule_inputs import SchedulesQuery, is_name
from api.schemas import MAX_PAGE, JobFilter, WorkerList
from commands.asking import usage_error, validated
from commands.common import command_errors, ready_database
from commands.tables import table
from ledger import OrderRow, schedules, workers
from ledger.schedules import ScheduleRow
from ledger.spans import span
from ledger.why import explain
from models import PRIORITY_NAMES

as_json = click.option("--json", "as_json", is_flag=True, help="As the API shows it.")


def page_of(limit: int) -> Callable[[Any], Any]:
    """The options of a list that comes in pages."""

    def options(command: Any) -> Any:
        cursor = click.option("--cursor", help="Go on where a page ended.")
        most = click.option("--limit", type=int, default=limit, show_default=True)
        return most(cursor(as_json(command)))

    return options


@click.command()
@click.option("--status", help="One or more, comma-separated.")
@click.option("--type", "type_name", help="Of this type.")
@click.option("--queue", help="In this queue.")
@click.option("--priority", metavar="[high|normal|low]")
@click.option("--worker", help="Run by this worker.")
@click.option("--tag", help="With this tag.")
@click.option("--owner", help="Submitted by this owner.")
@click.option("--created-after", metavar="TIME", help="Such as 2030-01-31T12:00:00Z.")
@click.option("--created-before", metavar="TIME")
@click.option("--q", metavar="TEXT", help="Text in id, type, tags, error or payload.")
@page_of(20)
@command_errors
def jobs(as_json: bool, **options: Any) -> None:
    """List orders, the newest first."""
    options["type"] = options.pop("type_name")
    fields = {_camel(name): value for name, value in options.items() if value is not None}
    if "status" in fields:
        fields["status"] = [fields["status"]]
    query = validated(JobFilter, fields)
    try:
        found = job_list.listing(ready_database(), query)
    except ApiError as refusal:
        raise usage_error(refusal) from None
    if as_json:
        click.echo(presenter.page(*found))
        return
    heads = ("JOB", "TYPE", "QUEUE", "PRIORITY", "STATUS", "TRIES", "CREATED", "RAN", "WORKER")
    click.echo(table(heads, map(_order, found.rows)))
    if found.searched_to is not None:
        click.echo(f"searched back to {plain_moment(found.searched_to)}")
    _more(found.cursor)


@click.command(name="workers")
@page_of(MAX_PAGE)
@command_errors
def list_workers(limit: int, cursor: str | None, as_json: bool) -> None:
    """List workers with what they do and use, and managers with their last sign of life."""
    validated(WorkerList, {"limit": limit})
    after = _after(cursor, worker_presenter.is_worker)
    database = ready_database()
    page = worker_presenter.document(database, limit, after)
    if as_json:
        click.echo(exact_json.dumps(page))
        return
    heads = ("WORKER", "STATE", "KIND", "CPU %", "RAM MB", "DONE", "JOB", "LAST SEEN")
    keys = ("workerId", "state", "kind", "cpuPercent", "ramMb", "done", "currentJob")
    rows = [[*(one[key] for key in keys), one["lastHeartbeat"]] for one in page["items"]]
    click.echo(table(heads, rows))
    _more(page["nextCursor"])
    click.echo()
    of_managers = ("MANAGER", "STATE", "SLOTS", "QUEUES", "PROOF", "LAST SIGN OF LIFE")
    click.echo(table(of_managers, map(_manager, workers.crews(database))))


@click.command(name="schedules")
@page_of(50)
@command_errors
def list_schedules(limit: int, cursor: str | None, as_json: bool) -> None:
    """List schedules with their last fire and their next."""
    validated(SchedulesQuery, {"limit": limit})
    rows = schedules.page(ready_database(), _after(cursor, is_name), limit + 1)
    shown = rows[:limit]
    following = cursors.make_of_name(shown[-1].name) if len(rows) > limit else None
    if as_json:
        click.echo(schedule_presenter.page(shown, following))
        return
    heads = ("SCHEDULE", "EXPRESSION", "ZONE", "TYPE", "STATE", "LAST FIRE", "NEXT FIRE")
    click.echo(table(heads, map(_schedule, shown)))
    _more(following)


@click.command()
@click.argument("order_id", metavar="ID")
@as_json
@command_errors
def why(order_id: str, as_json: bool) -> None:
    """Tell why an order does not run, or end, and what to do."""
    database = ready_database()
    known = ledger.parse_id(order_id)
    try:
        if known is None:
            raise ledger.UnknownOrder(order_id)
        found = explain(database, known)
    except ledger.UnknownOrder:
        raise click.ClickException(f"{order_id}: no job order has this id") from None
    click.echo(why_presenter.document(found) if as_json else why_presenter.text(found))


COMMANDS = {str(one.name): one for one in (jobs, list_workers, list_schedules, why)}


def _order(row: OrderRow) -> tuple[object, ...]:
    return (
        row.id,
        row.type,
        row.queue,
        PRIORITY_NAMES[row.priority],
        row.status,
        f"{row.attempts - row.crashes} of {row.max_attempts}",
        plain_moment(row.created_on),
        None if row.run_ms is None else span(row.run_ms),
        row.worker,
    )


def _manager(crew: workers.CrewRow) -> tuple[object, ...]:
    queues = crew.queues or "all"
    return crew.id, crew.state, crew.slots, queues, crew.proof, f"{span(crew.silent_ms)} ago"


def _schedule(row: ScheduleRow) -> tuple[object, ...]:
    return (
        row.name,
        row.expression,
        row.timezone,
        row.type,
        "enabled" if row.enabled else "paused",
        None if row.last_fire is None else plain_moment(row.last_fire),
        None if row.next_fire is None else plain_moment(row.next_fire),
    )


def _after(cursor: str | None, is_name: Callable[[str], bool]) -> str:
    try:
        return "" if cursor is None else cursors.read_name(cursor, is_name)
    except cursors.BadCursor as error:
        raise click.UsageError(f"--cursor {error}") from None


def _more(cursor: str | None) -> None:
    if cursor is not None:
        click.echo(f"there are more: --cursor {cursor}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))

#!/usr/bin/env python
"""The commands of Capataz: `python manage.py COMMAND`; `--help` explains each."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import click
from pydantic import ValidationError

import exact_json
import ledger
import logs
import migrations
from addresses import written
from commands.common import Commands, check_migrated, command_errors
from database import Database
from jobs import registry
from ledger.hints import Bell
from models import ENDED, FAILED
from settings import ROOT, VERSION, Settings, web_processes

POLL_SECONDS = 0.02


# The fields of a submission over HTTP that options stand for.
OPTIONS = {
    "/queue": "--queue",
    "/priority": "--priority",
    "/delay": "--delay",
    "/timeout": "--timeout",
    "/maxAttempts": "--max-attempts",
}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="capataz")
def cli() -> None:
    """Capataz, a durable job orchestrator."""


@cli.command()
@click.option("--down", is_flag=True, help="Take back the newest migration instead.")
@click.option("--to", "target", help="With --down: back to and including this migration.")
@click.option("--yes", is_flag=True, help="With --down: do not ask.")
@command_errors
def migrate(down: bool, target: str | None, yes: bool) -> None:
    """Bring the database's schema up to date; safe to run twice, and two at once.

    Taking a migration back deletes what it brought, with all data in it; not while managers run.
    """
    database = Database(Settings.from_env().database_url)
    if down:
        if not migrations.pending(database) and any(m.lives for m in ledger.managers(database)):
            raise click.ClickException("managers are running on this database: stop them first")
        if not yes:
            click.confirm("This deletes tables with all their data. Go on?", abort=True)
        for name in migrations.revert(database, target):
            click.echo(f"reverted {name}")
        return
    applied = migrations.migrate(database)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply: the schema is up to date")


@cli.command()
@click.argument("port", type=click.IntRange(1, 65_535), required=False)
@command_errors
def runserver(port: int | None) -> None:
    """Serve the API on PORT (default: the setting PORT) of the address HOST."""
    settings = Settings.from_env()
    check_migrated(Database(settings.database_url))
    bind = written(settings.host, port or settings.port)
    config = str(ROOT / "gunicorn.conf.py")
    arguments = ["-m", "gunicorn", "--config", config, "--bind", bind, "api.wsgi"]
    # gunicorn takes a traceback to refuse what is no number, even nothing at all.
    environ = os.environ | {"WEB_CONCURRENCY": str(web_processes(os.environ))}
    os.execve(sys.executable, [sys.executable, *arguments], environ)  # noqa: S606 (no shell)


@cli.command()
@command_errors
def manager() -> None:
    """Run a manager: claim orders, run them, report. Any number may run on one database."""
    from manager.capture import Capture
    from manager.main import build

    settings = Settings.from_env()
    logs.configure(settings.log_format)
    Capture().install()
    database = Database(settings.database_url)
    check_migrated(database)
    supervisor = build(settings, database)
    supervisor.handle_signals()
    code = supervisor.run()
    logs.flush()
    # A thread that hangs in a job must not keep the process: its order was handed back.
    os._exit(code)


@cli.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("fields", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--queue", help="The queue, unless the type's own.")
@click.option("--priority", metavar="[high|normal|low]", help="Default: the type's own.")
@click.option("--delay", type=float, help="Seconds until it is due.")
@click.option("--timeout", type=float, help="Seconds for one attempt.")
@click.option("--max-attempts", type=int, help="Default: the type's own.")
@click.option("--wait", is_flag=True, help="Wait until it has ended and print its result.")
@command_errors
def submit(type_name: str, fields: tuple[str, ...], wait: bool, **options: Any) -> None:
    """Submit an order of TYPE; a VALUE is JSON, or else taken as text. Prints its id."""
    settings = Settings.from_env()
    registry.load(settings.jobs)
    order = _order(settings, type_name, _payload(fields), options)
    database = Database(settings.database_url)
    check_migrated(database)
    ledger.submit(database, [ledger.Request([order])])
    bell = Bell(database)
    bell.ring()
    bell.close()
    if not wait:
        click.echo(order.id)
        return
    _wait(database, order.id)


def _order(
    settings: Settings, type_name: str, payload: dict[str, Any], options: dict[str, Any]
) -> ledger.NewOrder:
    """The order that these arguments ask for, by the same rules as over HTTP."""
    from api import intake
    from api.errors import ApiError
    from api.inputs import refuse
    from submissions.schema import JobSubmission

    options["maxAttempts"] = options.pop("max_attempts")
    try:
        submission = JobSubmission.model_validate({"type": type_name, "payload": payload} | options)
    except ValidationError as error:
        try:
            refuse(error)
        except ApiError as refusal:
            raise click.UsageError("; ".join(map(_said, refusal.errors))) from None
        raise
    return intake.order(settings, ledger.new_id(), submission)


def _said(error: Any) -> str:
    return f"{OPTIONS.get(error['pointer'], error['pointer'])} {error['message']}"


def _payload(fields: tuple[str, ...]) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for text in fields:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} is not KEY=VALUE")
        if name in payload:
            raise click.UsageError(f"{name} is given twice: remove one")
        payload[name] = _value(name, value)
    return payload


def _value(name: str, text: str) -> Any:
    try:
        return exact_json.loads(text, decimals=True, unique_keys=True)
    except exact_json.RepeatedKey as error:
        raise click.UsageError(f"{name}: {error}") from None
    except exact_json.BadJson:
        return text


def _wait(database: Database, order_id: str) -> None:
    """Show progress on standard error until the order has ended, then its result or error."""
    with click.progressbar(length=100, label=order_id, file=sys.stderr) as bar:
        while (order := ledger.find(database, order_id)).status not in ENDED:
            percent = json.loads(order.progress)["percent"] if order.progress else 0
            bar.update(max(0, int(percent) - bar.pos))
            time.sleep(POLL_SECONDS)
        bar.update(100 - bar.pos)
    if order.result is not None:
        ledger.retrieve(database, order_id)
        click.echo(order.result)
        return
    error = json.loads(order.error) if order.error else {"type": order.status, "message": ""}
    click.echo(f"{order.status}: {error['type']}: {error['message']}", err=True)
    sys.exit(1 if order.status == FAILED else 2)


if __name__ == "__main__":
    cli()

"""The command `check`: whether everything is as it should be, and the audit by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import ledger
from commands.common import command_errors, ready_database
from database import Database
from database.durability import durability
from jobs import registry
from ledger.audit import correct_levels, look
from logs import MOST_TOLD
from settings import VERSION, Settings, web_processes


@click.command()
@click.option("--audit", is_flag=True, help="Look for what should not be; repairs nothing.")
@click.option("--whole", is_flag=True, help="With --audit: look at every order, and count them.")
@click.option("--correct", is_flag=True, help="Count the table, and correct the figures by it.")
@command_errors
def check(audit: bool, whole: bool, correct: bool) -> None:
    """Print the settings and versions, and whether the database can be used; 1 when not, or when
    the audit found something."""
    settings = Settings.from_env()
    for name, value in settings.shown().items():
        click.echo(f"{name:28} {value}")
    click.echo(f"{'WEB_CONCURRENCY':28} {web_processes(os.environ)}")
    registry.load(settings.jobs)
    click.echo(f"{'types':28} {', '.join(registry.names())}")
    click.echo(f"{'version':28} {VERSION}, Python {sys.version.split()[0]}")
    database = ready_database()
    click.echo(f"{'managers':28} {_managers(database)}")
    click.echo(f"{'database':28} {durability(database)}")
    click.echo("database reachable, schema up to date")
    if correct:
        wrong = correct_levels(database)
        click.echo(f"{'corrected':28} {_differences(wrong) or 'nothing: they agreed'}")
    if audit or whole:
        _audit(database, round(settings.stale_seconds * 1000), whole=whole)


def _audit(database: Database, stale_ms: int, *, whole: bool) -> None:
    findings = look(database, stale_ms, whole=whole)
    for found in findings:
        click.echo(f"{'audit':28} {found.what}: {_some(found.where)}")
        click.echo(f"{'':28} {found.remedy}")
    if findings:
        sys.exit(1)
    click.echo(f"{'audit':28} nothing found")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return ", ".join(names[:MOST_TOLD]) + more


def _differences(wrong: dict[str, int]) -> str:
    """By status, by how many orders the figures were off."""
    return ", ".join(f"{status} {-difference:+,}" for status, difference in wrong.items())


def _managers(database: Database) -> str:
    known = ledger.managers(database)
    silent = sum(one.lives and not one.beats for one in known)
    told = f"{sum(one.beats for one in known)} beating"
    return f"{told}, {silent} silent" if silent else told


COMMANDS = {"check": check}

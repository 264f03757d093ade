"""What commands share: errors in one line, a database that is ready, and rooms of their own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import click

import ledger
import migrations
from database import Database, DatabaseAway
from jobs.errors import JobError
from settings import Settings, SettingsError


def command_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """What an operator can put right is one line on standard error, not a traceback."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (SettingsError, JobError, ledger.LedgerError, migrations.MigrationError) as error:
            raise click.ClickException(str(error)) from None
        except DatabaseAway as error:
            raise click.ClickException(f"the database is away: {error}") from None

    return guarded


def check_migrated(database: Database) -> None:
    """Raise `ClickException`, with the remedy, when migrations are missing."""
    missing = migrations.pending(database)
    if missing:
        raise click.ClickException(
            f"the database's schema is not up to date ({', '.join(missing)}): "
            "run python manage.py migrate"
        )


def ready_database() -> Database:
    """The database of the settings, whose schema is up to date; closed when the command ends."""
    database = Database(Settings.from_env().database_url)
    click.get_current_context().call_on_close(database.close)
    check_migrated(database)
    return database


class Commands(click.Group):
    """A group whose commands in other modules are only loaded when they are asked for: a manager
    needs nothing of the API."""

    # By name the module of a command; in it, it is named in `COMMANDS`.
    ELSEWHERE: ClassVar = {
        **dict.fromkeys(("jobs", "workers", "schedules", "why"), "commands.looking"),
        "check": "commands.checking",
        "produce": "commands.producing",
        "token": "commands.tokens",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted([*super().list_commands(ctx), *self.ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, if there is one."""
        module = self.ELSEWHERE.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        found: click.Command = importlib.import_module(module).COMMANDS[cmd_name]
        return found

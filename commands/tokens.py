"""The command `token`: who may call the API."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from api.presenter import plain_moment
from commands.common import command_errors, ready_database
from commands.tables import table
from ledger.tokens import ROLES, TokenRow, create_token, revoke_tokens, tokens

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_MOST_SECONDS = 36_500 * 86_400


@click.group()
def token() -> None:
    """Who may call the API, where CAPATAZ_AUTH has token."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option("--expires", metavar="TIME", help="After 90d, 12h or 30m; default: never.")
@command_errors
def create(name: str, role: str, expires: str | None) -> None:
    """Make a token for NAME, who owns what it submits, and print it: it is never shown again.

    Several tokens may have one NAME, so that one can be replaced without a gap.
    """
    life_ms = None if expires is None else _milliseconds(expires)
    click.echo(create_token(ready_database(), name, role, life_ms))


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@command_errors
def show(as_json: bool) -> None:
    """All tokens, by name: what they may do, until when, and when they were used last."""
    found = [_facts(row) for row in tokens(ready_database())]
    if as_json:
        click.echo(json.dumps(found))
        return
    heads = ("TOKEN", "NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED")
    click.echo(table(heads, [list(facts.values()) for facts in found]))


@token.command()
@click.argument("which", metavar="TOKEN|NAME")
@command_errors
def revoke(which: str) -> None:
    """Revoke a token by its id, or all tokens of a name; within two seconds they open nothing."""
    for row in revoke_tokens(ready_database(), which):
        click.echo(f"revoked {row.id} of {row.name}")


def _facts(row: TokenRow) -> dict[str, Any]:
    return {
        "tokenId": row.id,
        "name": row.name,
        "role": row.role,
        "state": row.state,
        "createdOn": plain_moment(row.created_on),
        "expiresOn": _moment(row.expires_on),
        "lastUsed": _moment(row.last_used),
    }


def _moment(at: int | None) -> str | None:
    return None if at is None else plain_moment(at)


def _milliseconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([mhd])", text.strip(), re.ASCII)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _MOST_SECONDS:
        raise click.UsageError(f"--expires is {text!r}: write a time such as 90d, 12h or 30m")
    return seconds * 1000


COMMANDS = {"token": token}

"""Tokens: shown once, kept as digests, revoked and expired in time, and cheap to check."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from api import bearer, create_app
from api.bearer import Bearer
from api.services import services
from api.throttle import MOST_ADDRESSES, MOST_FAILURES, Throttle
from database import Database, Sql
from database.statements import Transaction
from ledger import tokens
from ledger.tokens import TokenRefused, create_token, keep_uses, living_tokens, revoke_tokens
from manage import cli
from settings import Settings, SettingsError
from tests.api.calls import problem, submit
from tests.api.tokens import bearing, caller, guarded_app
from tests.support import wait_until

EXPIRE = Sql("UPDATE api_token SET expires_on = {now} - 1")
AGE = Sql("UPDATE api_token SET revoked_on = revoked_on - :ms, expires_on = expires_on - :ms")
WHOLE = Sql("SELECT * FROM api_token")
JOBS = "/api/v1/jobs"


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", database_url)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["token", *arguments])

    return run


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every request look at the database."""
    monkeypatch.setattr(bearer, "FRESH_SECONDS", 0.0)


def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of what the database is asked from now on."""
    asked: list[str] = []
    original = Transaction.rows

    def counting(self: Transaction, statement: Any, parameters: Any = None) -> Any:
        asked.append(statement.sqlite)
        return original(self, statement, parameters)

    monkeypatch.setattr(Transaction, "rows", counting)
    return asked


def test_a_token_is_printed_once_and_opens(
    database: Database, command: Callable[..., Result]
) -> None:
    made = command("create", "shop", "--role", "customer", "--expires", "90d")
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert re.fullmatch(r"cap_[0-9a-f]{12}_[0-9a-f]{64}", token)
    public, secret = token.split("_")[1:]
    kept = str(database.read(WHOLE))
    assert public in kept
    assert secret not in kept
    listed = command("list")
    assert secret not in listed.output
    (row,) = json.loads(command("list", "--json").stdout)
    assert (row["tokenId"], row["name"], row["role"]) == (public, "shop", "customer")
    assert (row["state"], row["lastUsed"]) == ("live", None)
    assert row["expiresOn"] > row["createdOn"]
    with guarded_app(database) as app:
        answer = submit(bearing(app, token))
        assert answer.status_code == 202
        assert answer.json["owner"] == "shop"  # type: ignore[index]
    # What is in the way ends, and writes down when each was used.
    assert json.loads(command("list", "--json").stdout)[0]["lastUsed"] is not None


def test_a_command_says_what_is_wrong(command: Callable[..., Result]) -> None:
    for arguments, told in (
        (("create", "a b", "--role", "viewer"), "cannot be a name"),
        (("create", "a@b", "--role", "viewer"), "cannot be a name"),
        (("create", "a", "--role", "king"), "operator"),
        (("create", "a"), "--role"),
        (("create", "a", "--role", "viewer", "--expires", "soon"), "90d"),
        (("create", "a", "--role", "viewer", "--expires", "0d"), "90d"),
        (("revoke", "nobody"), "token list"),
    ):
        result = command(*arguments)
        assert result.exit_code != 0
        assert told in result.output
        assert "Traceback" not in result.output


def test_a_revoked_token_opens_nothing_and_its_twin_goes_on(
    database: Database, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    old, new = (command("create", "shop", "--role", "viewer").stdout.strip() for _ in range(2))
    with guarded_app(database) as app:
        clients = bearing(app, old), bearing(app, new)
        assert [one.get(JOBS).status_code for one in clients] == [200, 200]
        result = command("revoke", old.split("_")[1])
        assert result.output == f"revoked {old.split('_')[1]} of shop\n"
        assert [one.get(JOBS).status_code for one in clients] == [401, 200]
        command("revoke", "shop")
        assert [one.get(JOBS).status_code for one in clients] == [401, 401]
    assert [row.state for row in tokens.tokens(database)] == ["revoked", "revoked"]


def test_what_opens_nothing_any_more_is_forgotten_in_the_end(database: Database) -> None:
    create_token(database, "old", "viewer")
    revoke_tokens(database, "old")
    create_token(database, "late", "viewer", life_ms=1)
    create_token(database, "new", "viewer")
    assert len(tokens.tokens(database)) == 3
    database.write(lambda transaction: transaction.run(AGE, {"ms": tokens.KEPT_MS + 60_000}))
    create_token(database, "newest", "viewer")
    assert {row.name for row in tokens.tokens(database)} == {"new", "newest"}


def test_a_name_has_one_role_at_a_time(database: Database) -> None:
    create_token(database, "shop", "customer")
    with pytest.raises(TokenRefused, match="customer"):
        create_token(database, "shop", "admin")
    revoke_tokens(database, "shop")
    create_token(database, "shop", "admin")


def test_a_token_expires_by_the_databases_clock_and_between_two_looks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded_app(database) as app:
        client = bearing(app, create_token(database, "brief", "viewer", life_ms=300))
        assert client.get(JOBS).status_code == 200
        wait_until(lambda: client.get(JOBS).status_code == 401, timeout=2)
        at_once(monkeypatch)
        other = caller(app, database, "long", "viewer")
        assert other.get(JOBS).status_code == 200
        database.write(lambda transaction: transaction.run(EXPIRE))
        problem(other.get(JOBS), 401)
    assert {row.state for row in tokens.tokens(database)} == {"expired"}


def test_a_token_that_was_just_made_opens_at_once(database: Database) -> None:
    with guarded_app(database) as app:
        assert caller(app, database, "first", "viewer").get(JOBS).status_code == 200
        for name in ("second", "third"):
            assert caller(app, database, name, "viewer").get(JOBS).status_code == 200


def test_strangers_cost_the_database_a_bounded_number_of_looks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = statements(monkeypatch)
    monkeypatch.setattr(time, "monotonic", lambda: 100.5)
    with guarded_app(database) as app:
        for number in range(40):
            stranger = bearing(app, f"cap_{number:012x}_{0:064x}")
            assert stranger.get(JOBS).status_code in (401, 429)
    assert 1 <= sum("api_token" in text for text in asked) <= bearer.MOST_LOOKS + 1


def test_a_request_takes_no_statement_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guarded_app(database) as app:
        client = caller(app, database, "shop", "operator")
        assert submit(client).status_code == 202
        monkeypatch.setattr(bearer, "FRESH_SECONDS", 60.0)
        asked = statements(monkeypatch)
        for _ in range(5):
            assert submit(client).status_code == 202
        assert [text for text in asked if "api_token" in text] == []


def test_the_last_use_is_kept_by_a_thread_of_its_own(database: Database) -> None:
    token = create_token(database, "shop", "viewer")
    way = Bearer(database, keep_seconds=0.05)
    with create_app(Settings(), database).test_request_context(
        headers={"Authorization": f"Bearer {token}"}
    ) as context:
        assert way.identify(context.request) == ("shop", "viewer", token.split("_")[1])
    wait_until(lambda: tokens.tokens(database)[0].last_used is not None)
    way.close()
    (row,) = tokens.tokens(database)
    keep_uses(database, {row.id: 3_600_000})  # what another process saw an hour ago
    assert tokens.tokens(database)[0].last_used == row.last_used


def test_too_many_failures_are_told_to_wait_and_a_good_token_is_not(database: Database) -> None:
    with guarded_app(database) as app:
        stranger = bearing(app, "cap_nonsense")
        good = caller(app, database, "shop", "viewer")
        for _ in range(MOST_FAILURES):
            problem(stranger.get(JOBS), 401)
        refused = stranger.get(JOBS)
        problem(refused, 429)
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert good.get(JOBS).status_code == 200
        elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
        problem(stranger.get(JOBS, environ_overrides=elsewhere), 401)


def test_failures_are_remembered_for_a_bounded_number_of_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    throttle = Throttle()
    for number in range(MOST_ADDRESSES + 10):
        assert throttle.failed(str(number)) == 0
    assert len(throttle._failures) <= MOST_ADDRESSES
    for _ in range(MOST_FAILURES):
        throttle.failed("x")
    assert throttle.failed("x") > 0
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert throttle.failed("x") == 0


def test_no_log_has_a_token(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    token = create_token(database, "shop", "viewer")
    wrong = token[:-4] + "0000"
    with caplog.at_level(logging.DEBUG), guarded_app(database) as app:
        for text in (token, wrong, "cap_" + "z" * 80):
            for path in (JOBS, "/nowhere", "/api/v1/workers"):
                answer = bearing(app, text).get(path)
                assert text not in answer.text
                assert text not in str(answer.headers)
    assert "cap_" not in caplog.text


def test_nobody_gets_in_while_nobody_can_say_who_may() -> None:
    away = create_app(
        Settings(auth=("token",)), Database("postgresql://nobody@127.0.0.1:1/nothing")
    )
    try:
        problem(bearing(away, "cap_" + "0" * 12 + "_" + "0" * 64).get("/docs/nothing"), 404)
        problem(bearing(away, "cap_" + "0" * 12 + "_" + "0" * 64).get("/api/v1/types"), 503)
        assert away.test_client().get("/healthz").status_code == 200
    finally:
        services(away).close()


def test_without_a_setting_only_this_machine_is_served(app: Flask) -> None:
    client = app.test_client()
    for address, status in (("127.0.0.8", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("", 200)):
        answer = client.get(JOBS, environ_overrides={"REMOTE_ADDR": address})
        assert answer.status_code == status, address
    for address in ("192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"):
        answer = client.get(JOBS, environ_overrides={"REMOTE_ADDR": address})
        assert "CAPATAZ_AUTH" in problem(answer, 403)["detail"]


@pytest.mark.parametrize("way", ["proxy", "oidc"])
def test_a_way_that_is_not_there_yet_is_refused(way: str, database: Database) -> None:
    with pytest.raises(SettingsError, match=way):
        create_app(Settings(auth=("token", way)), database)


def test_the_document_says_who_may(database: Database) -> None:
    with guarded_app(database) as app:
        client = caller(app, database, "me", "viewer")
        document: Any = client.get("/openapi.json").json
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            is_open = path in ("/healthz", "/readyz", "/docs", "/")
            assert ("security" not in operation) == is_open, path
            assert ({"401", "403", "429"} <= set(operation["responses"])) == (not is_open), path
    retry = document["paths"]["/api/v1/jobs/{id}/retry"]["post"]
    assert retry["description"].endswith("Roles: operator, admin.")


def test_living_tokens_are_few_enough_to_be_read_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MOST_LIVE", 2)
    for number in range(2):
        create_token(database, f"n{number}", "viewer")
    with pytest.raises(TokenRefused, match="revoke"):
        create_token(database, "more", "viewer")
    assert len(living_tokens(database)) == 2

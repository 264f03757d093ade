"""What is secret in a payload is shown to nobody, and nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

import ledger
from database import Database
from ledger.masking import masked, says_secret
from models import COMPLETED
from tests import factories


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Password", "db_passwd", "token", "accessToken", "client_secret"),
        *("Authorization", "apikey", "api_key", "API-Key", "x-api-key", "credentials"),
        *("privateKey", "private_key", "cookie", "Set-Cookie", "passphrase"),
    ],
)
def test_names_that_say_secret(name: str) -> None:
    assert says_secret(name)
    assert masked(json.dumps({name: "x"})) == json.dumps({name: "***"}, separators=(",", ":"))


@pytest.mark.parametrize("name", ["pass", "author", "key", "api", "private", "num1", "path"])
def test_names_that_do_not(name: str) -> None:
    assert not says_secret(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":[{"token":{"b":[1]}}],"n":0.10}', '{"a":[{"token":"***"}],"n":0.10}'),
        ('{"token":null,"n":' + "9" * 400 + "}", '{"token":"***","n":' + "9" * 400 + "}"),
        ('{"text": "the token is 5", "n": 1E400}', '{"text": "the token is 5", "n": 1E400}'),
        ('["token",1.50]', '["token",1.50]'),
        ('"password"', '"password"'),
        ('{"secret":"\\u0000\\ud800"}', '{"secret":"***"}'),
    ],
)
def test_only_the_values_of_secrets_change(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_no_door_shows_a_secret_of_a_payload(client: FlaskClient, database: Database) -> None:
    secret = '{"num1":1,"deep":[{"apiKey":"hunter2","n":9007199254740993.10}]}'
    row = factories.order_in(database, COMPLETED, payload=secret)
    shown = '"payload":{"num1":1,"deep":[{"apiKey":"***","n":9007199254740993.10}]}'
    for address in (
        *("/api/v1/jobs", "/tasks", f"/api/v1/jobs/{row.id}", f"/tasks/{row.id}"),
        *(f"/api/v1/job/{row.id}", "/api/v1/jobs?q=9007199254740993"),
    ):
        text = client.get(address).text
        assert shown in text
        assert "hunter2" not in text
    assert "hunter2" not in client.delete(f"/api/v1/jobs/{row.id}").text


def test_a_result_is_whole_for_who_collects_it_only(
    client: FlaskClient, database: Database
) -> None:
    order_id = factories.submit(database)
    (claimed,) = factories.claim(database)
    ending: Any = factories.ending(claimed, result='{"token":"t"}')
    ledger.finish(database, factories.MANAGER, [ending])
    assert client.get(f"/api/v1/jobs/{order_id}").json["result"] == {"token": "***"}  # type: ignore[index]
    assert client.get(f"/api/v1/job/{order_id}").json["result"] == {"token": "t"}  # type: ignore[index]
    assert client.get(f"/api/v1/job/{order_id}/result").json == {"token": "t"}

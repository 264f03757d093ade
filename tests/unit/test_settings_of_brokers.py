"""Settings that say where a broker is."""

from __future__ import annotations

import pytest

from tests.unit.test_settings import read, refusal


@pytest.mark.parametrize(
    ("transport", "variable", "url"),
    [
        ("rabbitmq", "RABBITMQ_URL", "amqps://u:secret@host:5671/%2F"),
        ("rabbitmq", "CLOUDAMQP_URL", "amqp://u:secret@host/u"),
        ("nats", "NATS_URL", "nats://u:secret@one:4222,nats://u:secret@two:4222"),
    ],
)
def test_a_broker_is_chosen_and_must_be_known(transport: str, variable: str, url: str) -> None:
    text = refusal(CAPATAZ_TRANSPORT=transport)
    assert f"CAPATAZ_TRANSPORT is {transport}" in text
    assert variable.replace("CLOUDAMQP", "RABBITMQ") in text
    settings = read(**{"CAPATAZ_TRANSPORT": transport, variable: url})
    assert settings.broker_url == url
    assert "secret" not in str(settings.shown())
    unused = read(**{variable: url})
    assert (unused.transport, unused.broker_url) == ("database", "")


def test_the_plain_name_of_a_broker_wins_over_that_of_a_provider() -> None:
    settings = read(RABBITMQ_URL="amqp://mine", CLOUDAMQP_URL="amqp://theirs")
    assert settings.rabbitmq_url == "amqp://mine"
    assert "CLOUDAMQP_URL" in refusal(CLOUDAMQP_URL="theirs")

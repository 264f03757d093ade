"""Every setting: what it may be, what it may not, and what the operator is told."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from settings import VARIABLES, Settings, SettingsError, web_processes


def read(**env: str) -> Settings:
    return Settings.from_env(env)


def refusal(**env: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**env)
    text = str(caught.value)
    assert "\n" not in text, "one clear line"
    return text


def test_nothing_set_gives_the_defaults_of_the_contract() -> None:
    settings = read()
    assert settings == Settings()
    assert settings.database_url == "sqlite:///capataz.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.transport == "database"
    assert (settings.min_workers, settings.max_workers) == (1, 8)
    assert settings.queues == settings.jobs == settings.auth == ()
    assert settings.poll_seconds == 1
    assert (settings.heartbeat_seconds, settings.stale_seconds) == (5, 30)
    assert (settings.max_attempts, settings.timeout_seconds) == (3, 3600)
    assert (settings.grace_seconds, settings.retention_hours) == (25, 168)


def test_they_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().port = 1  # type: ignore[misc]


def test_blank_counts_as_unset_and_space_around_is_ignored() -> None:
    settings = read(PORT="  ", CAPATAZ_MAX_WORKERS=" 4 ", CAPATAZ_QUEUES=" a ,b,a ")
    assert (settings.port, settings.max_workers, settings.queues) == (8000, 4, ("a", "b"))
    assert read(CAPATAZ_QUEUES="").queues == ()


@pytest.mark.parametrize("name", ["CAPATAZ_QUEUES", "CAPATAZ_JOBS", "CAPATAZ_AUTH"])
@pytest.mark.parametrize(
    "value", [" ", "\t", ",", "alpha,,beta", "alpha, ,beta", "alpha,", ",alpha"]
)
def test_an_empty_name_in_a_list_is_refused(name: str, value: str) -> None:
    text = refusal(**{name: value})
    assert text.startswith(f"{name} is {value!r}")
    assert "empty name" in text


@pytest.mark.parametrize("value", ["abc", "0", "65", "1.5", "-1", " "])
def test_a_number_of_web_processes_must_be_one(value: str) -> None:
    with pytest.raises(SettingsError, match="WEB_CONCURRENCY"):
        web_processes({"WEB_CONCURRENCY": value})


def test_there_are_two_web_processes_unless_told() -> None:
    assert (web_processes({}), web_processes({"WEB_CONCURRENCY": ""})) == (2, 2)
    assert web_processes({"WEB_CONCURRENCY": "5"}) == 5


def test_seconds_may_be_fractions() -> None:
    settings = read(
        CAPATAZ_POLL_SECONDS="0.25",
        CAPATAZ_HEARTBEAT_SECONDS="0.5",
        CAPATAZ_STALE_SECONDS="1.5",
        CAPATAZ_GRACE_SECONDS="0",
        CAPATAZ_TIMEOUT_SECONDS="1e2",
    )
    assert settings.poll_seconds == 0.25
    assert settings.stale_seconds == 1.5
    assert settings.grace_seconds == 0
    assert settings.timeout_seconds == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", "a b"),
        ("HOST", "http://127.0.0.1"),
        ("HOST", "127.0.0.1:9000"),
        ("HOST", "a..b"),
        ("HOST", "x" * 64),
        ("HOST", "[::1"),
        ("HOST", "[localhost]"),
        ("HOST", "[]"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "80.5"),
        ("CAPATAZ_MIN_WORKERS", "0"),
        ("CAPATAZ_MAX_WORKERS", "-1"),
        ("CAPATAZ_MAX_WORKERS", "many"),
        ("CAPATAZ_MAX_WORKERS", "8.0"),
        ("CAPATAZ_POLL_SECONDS", "0"),
        ("CAPATAZ_POLL_SECONDS", "nan"),
        ("CAPATAZ_POLL_SECONDS", "inf"),
        ("CAPATAZ_POLL_SECONDS", "-1"),
        ("CAPATAZ_POLL_SECONDS", "1s"),
        ("CAPATAZ_HEARTBEAT_SECONDS", "0"),
        ("CAPATAZ_STALE_SECONDS", "nan"),
        ("CAPATAZ_MAX_ATTEMPTS", "0"),
        ("CAPATAZ_TIMEOUT_SECONDS", "0"),
        ("CAPATAZ_GRACE_SECONDS", "-0.1"),
        ("CAPATAZ_RETENTION_HOURS", "0"),
        ("CAPATAZ_TRANSPORT", "pigeon"),
        ("CAPATAZ_PREFETCH", "0"),
        ("RABBITMQ_URL", "localhost"),
        ("RABBITMQ_URL", "http://localhost"),
        ("RABBITMQ_URL", "amqp://"),
        ("RABBITMQ_URL", "amqp://host:port"),
        ("NATS_URL", "nats://one,two"),
        ("CAPATAZ_LOG_FORMAT", "xml"),
        ("CAPATAZ_AUTH", "password"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "capataz.db"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "postgresql://localhost:port/x"),
        ("CAPATAZ_QUEUES", "*"),
        ("CAPATAZ_QUEUES", "."),
        ("CAPATAZ_QUEUES", "fine,.."),
        ("CAPATAZ_QUEUES", "fine,not fine"),
    ],
)
def test_an_impossible_value_is_refused_under_its_name(name: str, value: str) -> None:
    assert name in refusal(**{name: value})


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("[::1]", "::1"),
        (" ::1 ", "::1"),
        ("::", "::"),
        ("fe80::1%lo", "fe80::1%lo"),
        ("0.0.0.0", "0.0.0.0"),
        ("localhost", "localhost"),
        ("web-1.example.org", "web-1.example.org"),
    ],
)
def test_a_host_is_a_name_or_an_address_with_or_without_brackets(value: str, host: str) -> None:
    assert read(HOST=value).host == host


def test_stale_must_be_three_heartbeats() -> None:
    text = refusal(CAPATAZ_HEARTBEAT_SECONDS="5", CAPATAZ_STALE_SECONDS="14.9")
    assert "CAPATAZ_STALE_SECONDS" in text
    assert "15 or more" in text
    assert read(CAPATAZ_HEARTBEAT_SECONDS="5", CAPATAZ_STALE_SECONDS="15").stale_seconds == 15


@pytest.mark.parametrize(("beat", "stale"), [("0.1", "0.3"), ("0.2", "0.6"), ("0.7", "2.1")])
def test_exactly_three_heartbeats_is_enough_in_fractions_too(beat: str, stale: str) -> None:
    assert read(CAPATAZ_HEARTBEAT_SECONDS=beat, CAPATAZ_STALE_SECONDS=stale)


def test_fewest_workers_may_not_be_more_than_most() -> None:
    text = refusal(CAPATAZ_MIN_WORKERS="9")
    assert "CAPATAZ_MIN_WORKERS is 9" in text
    assert "CAPATAZ_MAX_WORKERS (8)" in text
    assert read(CAPATAZ_MIN_WORKERS="8").min_workers == 8


def test_no_authentication_excludes_any_other() -> None:
    assert read(CAPATAZ_AUTH="token,oidc").auth == ("token", "oidc")
    assert read(CAPATAZ_AUTH="none").auth == ("none",)
    assert "CAPATAZ_AUTH" in refusal(CAPATAZ_AUTH="none,token")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("CAPATAZ_MAX_WORKER", "CAPATAZ_MAX_WORKERS"),
        ("CAPATAZ_POLL", "CAPATAZ_POLL_SECONDS"),
        ("CAPATAZ_STALE_SECOND", "CAPATAZ_STALE_SECONDS"),
        ("CAPATAZ_QUEUE", "CAPATAZ_QUEUES"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known(wrong: str, right: str) -> None:
    assert f"did you mean {right}?" in refusal(**{wrong: "1"})


def test_a_name_like_no_other_is_answered_with_all() -> None:
    text = refusal(CAPATAZ_="1")
    assert "did you mean" in text or all(name in text for name in VARIABLES.values())


def test_a_password_with_a_comma_is_hidden_too() -> None:
    shown = read(DATABASE_URL="postgresql://u:one,two@host/x").shown()
    assert shown["DATABASE_URL"] == "postgresql://u:***@host/x"


def test_names_of_others_are_none_of_our_business() -> None:
    assert read(PATH="/bin", HOME="/root", OTHER_CAPATAZ_X="1") == Settings()


def test_herokus_form_of_the_url_is_understood() -> None:
    settings = read(DATABASE_URL="postgres://u:p@host:5432/name?sslmode=require", DYNO="web.1")
    assert settings.database_url == "postgresql://u:p@host:5432/name?sslmode=require"
    assert not settings.is_sqlite


@pytest.mark.parametrize("env", [{}, {"DATABASE_URL": "sqlite:////data/capataz.db"}])
def test_sqlite_on_a_dyno_is_refused_with_the_remedy(env: dict[str, str]) -> None:
    text = refusal(DYNO="web.1", **env)
    assert "DATABASE_URL" in text
    assert "PostgreSQL" in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@host:5432/name",
        "postgresql://user:s3cret@x@host/name",
        "postgresql://user:s3cret%2Fx@[::1]:5432/name",
        "postgresql://host/name?user=me&password=s3cret",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    shown = read(DATABASE_URL=url).shown()
    assert "s3cret" not in str(shown)
    assert shown["DATABASE_URL"].startswith("postgresql://")
    assert "host" in shown["DATABASE_URL"] or "::1" in shown["DATABASE_URL"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret/x@host:5432/name",
        "postgresql://user:s3cret#x@host/name",
        "postgresql://user:s3cret?x@host/name",
        "mysql://user:s3cret@host/name",
        "postgresql://user:s3cret@host:port/name",
    ],
)
def test_nor_is_it_when_the_url_is_refused(url: str) -> None:
    assert "s3cret" not in refusal(DATABASE_URL=url)


def test_all_are_shown_under_their_names() -> None:
    shown = read(CAPATAZ_QUEUES="a,b", CAPATAZ_POLL_SECONDS="0.5").shown()
    assert list(shown) == [VARIABLES[field.name] for field in dataclasses.fields(Settings)]
    assert shown["CAPATAZ_QUEUES"] == "a,b"
    assert shown["CAPATAZ_POLL_SECONDS"] == "0.5"
    assert shown["PORT"] == "8000"
    assert all(
        re.fullmatch(r"(DATABASE|RABBITMQ|NATS)_URL|HOST|PORT|CAPATAZ_[A-Z_]+", name)
        for name in shown
    )


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CAPATAZ_MAX_WORKERS=3\nPORT=9000\n# a comment\nOTHER=1\n")
    settings = Settings.from_env({"PORT": "7000"}, file)
    assert (settings.max_workers, settings.port) == (3, 7000)


def test_a_missing_file_is_no_error(tmp_path: Path) -> None:
    assert Settings.from_env({}, tmp_path / ".env") == Settings()


def test_the_file_is_checked_like_the_environment(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CAPATAZ_MAX_WORKER=3\n")
    with pytest.raises(SettingsError, match="did you mean CAPATAZ_MAX_WORKERS"):
        Settings.from_env({}, file)


def test_a_password_in_the_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("DATABASE_URL=postgresql://u:a${HOME}b@host/name\n")
    assert Settings.from_env({}, file).database_url == "postgresql://u:a${HOME}b@host/name"


def test_an_environment_given_by_hand_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1234")
    assert read().port == 8000


def test_the_process_reads_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPATAZ_MAX_WORKERS", "7")
    assert Settings.from_env(dotenv=Path("/nonexistent/.env")).max_workers == 7


@pytest.mark.parametrize(
    "secret", ["x", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", "whsec_" + "QUFB" * 30]
)
def test_a_secret_that_signs_nothing_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(SettingsError, match="CAPATAZ_WEBHOOK_SECRET") as told:
        Settings.from_env({"CAPATAZ_WEBHOOK_SECRET": secret})
    assert secret in ("x", "whsec_") or secret not in str(told.value)


def test_a_secret_is_read_and_not_shown() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    settings = Settings.from_env({"CAPATAZ_WEBHOOK_SECRET": secret})
    assert settings.webhook_secret == secret
    assert settings.shown()["CAPATAZ_WEBHOOK_SECRET"] == "***"


def test_private_networks_are_networks() -> None:
    given = {"CAPATAZ_PRIVATE_NETWORKS": "10.0.0.0/8, fd00::/8"}
    assert Settings.from_env(given).private_networks == ("10.0.0.0/8", "fd00::/8")
    with pytest.raises(SettingsError, match="is no network"):
        Settings.from_env({"CAPATAZ_PRIVATE_NETWORKS": "10.0.0.1/8"})

"""How each setting is read from the environment: its text checked and made a value."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from settings.error import SettingsError

# Of each broker the setting that says where it is, and an example of what it says.
BROKERS = {
    "rabbitmq": ("RABBITMQ_URL (or CLOUDAMQP_URL)", "amqp://USER:PASSWORD@HOST:5672/%2F"),
    "nats": ("NATS_URL", "nats://USER:PASSWORD@HOST:4222"),
}
TRANSPORTS = ("database", *BROKERS)
AUTHENTICATIONS = ("token", "proxy", "oidc", "none")


def shown(value: Any) -> str:
    """A value for people to read, without the passwords in its URLs."""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    # One URL, which may have a comma in its password, or several with commas between them.
    for one in (text, *text.split(",")) if "://" in text else ():
        password = urlsplit(one).password
        if password:
            text = text.replace(f":{password}@", ":***@")
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&#]*", r"\1***", text)


def _database_url(env: Mapping[str, str]) -> str:
    url = env["DATABASE_URL"].strip()
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        if ":memory:" in url:
            raise SettingsError(
                "DATABASE_URL: a database in memory is lost with its process; name a file, "
                "for example sqlite:///capataz.db"
            )
        return url
    if url.startswith("postgresql://"):
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:  # its text may hold a part of the password
            raise SettingsError(
                "DATABASE_URL is not a URL: write /, ?, # and @ in a password as %2F, %3F, %23 "
                "and %40, and the port as a number"
            ) from None
        return url
    raise SettingsError(
        f"DATABASE_URL starts with {url.split(':', 1)[0]!r}: write sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST:PORT/NAME"
    )


def _broker_url(broker: str, schemes: tuple[str, ...], *, many: bool = False) -> Any:
    variable, example = BROKERS[broker]

    def read(env: Mapping[str, str]) -> str:
        url = env[variable.split()[0]].strip()
        try:
            parts = [urlsplit(one.strip()) for one in (url.split(",") if many else [url])]
            is_good = all(one.scheme in schemes and one.hostname for one in parts)
            _ = [one.port for one in parts]
        except ValueError:
            is_good = False
        if not is_good:  # without the text: it may hold a password
            raise SettingsError(
                f"{variable} is no URL that begins with {' or '.join(schemes)}: write such as "
                f"{example}, with /, ?, # and @ in a password as %2F, %3F, %23 and %40"
            )
        return url

    return read


HOST_NAME = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*"


def _host(env: Mapping[str, str]) -> str:
    text = env["HOST"].strip()
    # In brackets as in a URL: so the Procfile needs it, where :PORT follows.
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != text or not re.fullmatch(HOST_NAME, host):
            raise SettingsError(
                f"HOST is {text!r}: write a name or an address alone, such as 127.0.0.1 or ::1; "
                "the port goes into PORT"
            ) from None
    return host


def seconds(variable: str, least: float, most: float) -> Any:
    def read(env: Mapping[str, str]) -> float:
        text = env[variable].strip()
        try:
            value = float(text)
        except ValueError:
            raise SettingsError(f"{variable} is {text!r}: write a number, such as 1.5") from None
        if not least <= value <= most:  # also refuses NaN
            raise SettingsError(f"{variable} is {text}: it must lie from {least:g} to {most:g}")
        return value

    return read


def count(variable: str, least: int, most: int) -> Any:
    def read(env: Mapping[str, str]) -> int:
        text = env[variable].strip()
        try:
            value = int(text)
        except ValueError:
            raise SettingsError(f"{variable} is {text!r}: write a whole number") from None
        if not least <= value <= most:
            raise SettingsError(f"{variable} is {text}: it must lie from {least} to {most}")
        return value

    return read


def choice(variable: str, known: tuple[str, ...]) -> Any:
    def read(env: Mapping[str, str]) -> str:
        text = env[variable].strip().lower()
        if text not in known:
            raise SettingsError(f"{variable} is {text!r}: choose one of {', '.join(known)}")
        return text

    return read


def names(variable: str, known: tuple[str, ...] = ()) -> Any:
    def read(env: Mapping[str, str]) -> tuple[str, ...]:
        given = tuple(dict.fromkeys(name.strip() for name in env[variable].split(",")))
        if "" in given:
            raise SettingsError(
                f"{variable} is {env[variable]!r}, which has an empty name: write names with one "
                "comma between two, or leave the setting out"
            )
        for name in given:
            if known and name not in known:
                raise SettingsError(f"{variable} has {name!r}: known are {', '.join(known)}")
        return given

    return read


def _queues(env: Mapping[str, str]) -> tuple[str, ...]:
    given: tuple[str, ...] = names("CAPATAZ_QUEUES")(env)
    for name in given:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name in (".", ".."):
            raise SettingsError(
                f"CAPATAZ_QUEUES has {name!r}: a queue's name is 1 to 64 letters, digits, dots, "
                "dashes or underscores, and not . or ..; leave the setting out to serve all"
            )
    return given


def _webhook_secret(env: Mapping[str, str]) -> str:
    text = env["CAPATAZ_WEBHOOK_SECRET"].strip()
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not text.startswith("whsec_") or not 24 <= size <= 64:
        raise SettingsError(  # without the text: it is a secret
            "CAPATAZ_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64: make one with "
            "echo whsec_$(head -c 32 /dev/urandom | base64)"
        )
    return text


def _networks(env: Mapping[str, str]) -> tuple[str, ...]:
    given: tuple[str, ...] = names("CAPATAZ_PRIVATE_NETWORKS")(env)
    for name in given:
        try:
            ipaddress.ip_network(name)
        except ValueError as error:
            raise SettingsError(
                f"CAPATAZ_PRIVATE_NETWORKS has {name!r}, which is no network ({error}): write "
                "such as 10.1.0.0/16 or fd00::/8"
            ) from None
    return given


# A list that names nothing was meant to name something.
LISTS = ("queues", "jobs", "auth", "private_networks")
DAY = 86_400.0
READERS: dict[str, Any] = {
    "database_url": _database_url,
    "host": _host,
    "port": count("PORT", 1, 65_535),
    "transport": choice("CAPATAZ_TRANSPORT", TRANSPORTS),
    "rabbitmq_url": _broker_url("rabbitmq", ("amqp", "amqps")),
    "nats_url": _broker_url("nats", ("nats", "tls"), many=True),
    "prefetch": count("CAPATAZ_PREFETCH", 1, 1_000),
    "min_workers": count("CAPATAZ_MIN_WORKERS", 1, 1_000),
    "max_workers": count("CAPATAZ_MAX_WORKERS", 1, 1_000),
    "queues": _queues,
    "poll_seconds": seconds("CAPATAZ_POLL_SECONDS", 0.01, 3_600),
    "heartbeat_seconds": seconds("CAPATAZ_HEARTBEAT_SECONDS", 0.05, 3_600),
    "stale_seconds": seconds("CAPATAZ_STALE_SECONDS", 0.15, DAY),
    "max_attempts": count("CAPATAZ_MAX_ATTEMPTS", 1, 1_000),
    "timeout_seconds": seconds("CAPATAZ_TIMEOUT_SECONDS", 0.01, 365 * DAY),
    "grace_seconds": seconds("CAPATAZ_GRACE_SECONDS", 0, DAY),
    "retention_hours": seconds("CAPATAZ_RETENTION_HOURS", 0.01, 24 * 36_500),
    "jobs": names("CAPATAZ_JOBS"),
    "auth": names("CAPATAZ_AUTH", AUTHENTICATIONS),
    "webhook_secret": _webhook_secret,
    "private_networks": _networks,
    "log_format": choice("CAPATAZ_LOG_FORMAT", ("console", "json")),
}

"""Every setting of Capataz, read once from the environment, checked, and then frozen.

Nothing else in the project reads the environment: a `Settings` is passed by hand.
"""

from __future__ import annotations

import base64
import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from broker_settings import TRANSPORTS, broker_url, complaint

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent

AUTHENTICATIONS = ("token", "proxy", "oidc", "none")


class SettingsError(Exception):
    """A setting has an impossible value or an unknown name; one line for the operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process was told. Times are seconds and may be fractions."""

    database_url: str = "sqlite:///capataz.db"
    host: str = "127.0.0.1"
    port: int = 8000
    transport: str = "database"
    min_workers: int = 1
    max_workers: int = 8
    queues: tuple[str, ...] = ()
    poll_seconds: float = 1.0
    heartbeat_seconds: float = 5.0
    stale_seconds: float = 30.0
    max_attempts: int = 3
    timeout_seconds: float = 3600.0
    grace_seconds: float = 25.0
    retention_hours: float = 168.0
    jobs: tuple[str, ...] = ()
    auth: tuple[str, ...] = ()
    webhook_secret: str = ""
    private_networks: tuple[str, ...] = ()
    log_format: str = ""
    rabbitmq_url: str = ""
    nats_url: str = ""
    prefetch: int = 1

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, dotenv: Path | None = None
    ) -> Settings:
        """Read and check the environment; a `.env` file fills in what it leaves out.

        Raises `SettingsError` naming the variable, what is wrong, and what to write instead.
        """
        env = dict(os.environ if environ is None else environ)
        path = dotenv if dotenv is not None else (ROOT / ".env" if environ is None else None)
        if path is not None and path.exists():
            env = {
                k: v for k, v in dotenv_values(path, interpolate=False).items() if v is not None
            } | env
        _refuse_unknown(env)
        env |= {name: url for name, of in _URLS.items() if (url := broker_url(of, env))}
        values = {f.name: _READERS[f.name](env) for f in fields(cls) if _given(env, f.name)}
        settings = cls(**values)
        settings._check(env)
        return settings

    def _check(self, env: Mapping[str, str]) -> None:
        if self.min_workers > self.max_workers:
            raise SettingsError(
                f"CAPATAZ_MIN_WORKERS is {self.min_workers}, more than CAPATAZ_MAX_WORKERS "
                f"({self.max_workers}): lower the first or raise the second"
            )
        # In whole milliseconds: three times 0.1 is more than 0.3 in floats.
        if round(self.stale_seconds * 1000) < 3 * round(self.heartbeat_seconds * 1000):
            raise SettingsError(
                f"CAPATAZ_STALE_SECONDS is {self.stale_seconds:g}, less than three heartbeats of "
                f"{self.heartbeat_seconds:g} s (CAPATAZ_HEARTBEAT_SECONDS): set it to "
                f"{3 * self.heartbeat_seconds:g} or more"
            )
        if wrong := complaint(self.transport, env):
            raise SettingsError(wrong)
        if "none" in self.auth and len(self.auth) > 1:
            raise SettingsError(
                "CAPATAZ_AUTH: none cannot be combined with another way; give one or the other"
            )
        if self.is_sqlite and env.get("DYNO"):
            raise SettingsError(
                "DATABASE_URL is SQLite, but this is a Heroku dyno (DYNO is set), whose disk is "
                "lost at every restart: add a PostgreSQL database, which sets DATABASE_URL"
            )

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    def shown(self) -> dict[str, str]:
        """Every setting under its variable's name, passwords in URLs hidden, for people to read."""
        shown = {VARIABLES[f.name]: _shown(getattr(self, f.name)) for f in fields(self)}
        if self.webhook_secret:
            shown[VARIABLES["webhook_secret"]] = "***"
        return shown


_URLS = {"RABBITMQ_URL": "rabbitmq", "NATS_URL": "nats"}
_PLAIN = ("database_url", "host", "port", "rabbitmq_url", "nats_url")
VARIABLES = {
    f.name: f.name.upper() if f.name in _PLAIN else f"CAPATAZ_{f.name.upper()}"
    for f in fields(Settings)
}


def _given(env: Mapping[str, str], name: str) -> bool:
    text = env.get(VARIABLES[name], "")
    # A list of nothing but a blank was meant to name something: to take it for all would be wrong.
    return bool(text if name in _LISTS else text.strip())


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    parts = urlsplit(text) if "://" in text else None
    if parts is not None and parts.password:
        text = text.replace(f":{parts.password}@", ":***@")
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&#]*", r"\1***", text)


def _refuse_unknown(env: Mapping[str, str]) -> None:
    known = set(VARIABLES.values())
    for name in sorted(env):
        if name.startswith("CAPATAZ_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise SettingsError(f"{name} is not a setting of Capataz: {hint}")


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


_HOST_NAME = r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*"


def _host(env: Mapping[str, str]) -> str:
    text = env["HOST"].strip()
    # In brackets as in a URL: so the Procfile needs it, where :PORT follows.
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != text or not re.fullmatch(_HOST_NAME, host):
            raise SettingsError(
                f"HOST is {text!r}: write a name or an address alone, such as 127.0.0.1 or ::1; "
                "the port goes into PORT"
            ) from None
    return host


def _seconds(variable: str, least: float, most: float) -> Any:
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


def _count(variable: str, least: int, most: int) -> Any:
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


def web_processes(environ: Mapping[str, str]) -> int:
    """How many processes serve the API: `WEB_CONCURRENCY`, which gunicorn reads too.

    Raises `SettingsError`.
    """
    if not environ.get("WEB_CONCURRENCY"):
        return 2
    return int(_count("WEB_CONCURRENCY", 1, 64)(environ))


def _choice(variable: str, known: tuple[str, ...]) -> Any:
    def read(env: Mapping[str, str]) -> str:
        text = env[variable].strip().lower()
        if text not in known:
            raise SettingsError(f"{variable} is {text!r}: choose one of {', '.join(known)}")
        return text

    return read


def _names(variable: str, known: tuple[str, ...] = ()) -> Any:
    def read(env: Mapping[str, str]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in env[variable].split(",")))
        if "" in names:
            raise SettingsError(
                f"{variable} is {env[variable]!r}, which has an empty name: write names with one "
                "comma between two, or leave the setting out"
            )
        for name in names:
            if known and name not in known:
                raise SettingsError(f"{variable} has {name!r}: known are {', '.join(known)}")
        return names

    return read


def _queues(env: Mapping[str, str]) -> tuple[str, ...]:
    names: tuple[str, ...] = _names("CAPATAZ_QUEUES")(env)
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name in (".", ".."):
            raise SettingsError(
                f"CAPATAZ_QUEUES has {name!r}: a queue's name is 1 to 64 letters, digits, dots, "
                "dashes or underscores, and not . or ..; leave the setting out to serve all"
            )
    return names


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
    names: tuple[str, ...] = _names("CAPATAZ_PRIVATE_NETWORKS")(env)
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError as error:
            raise SettingsError(
                f"CAPATAZ_PRIVATE_NETWORKS has {name!r}, which is no network ({error}): write "
                "such as 10.1.0.0/16 or fd00::/8"
            ) from None
    return names


_LISTS = ("queues", "jobs", "auth", "private_networks")
_DAY = 86_400.0
_READERS: dict[str, Any] = {
    "database_url": _database_url,
    "host": _host,
    "port": _count("PORT", 1, 65_535),
    "transport": _choice("CAPATAZ_TRANSPORT", TRANSPORTS),
    "min_workers": _count("CAPATAZ_MIN_WORKERS", 1, 1_000),
    "max_workers": _count("CAPATAZ_MAX_WORKERS", 1, 1_000),
    "queues": _queues,
    "poll_seconds": _seconds("CAPATAZ_POLL_SECONDS", 0.01, 3_600),
    "heartbeat_seconds": _seconds("CAPATAZ_HEARTBEAT_SECONDS", 0.05, 3_600),
    "stale_seconds": _seconds("CAPATAZ_STALE_SECONDS", 0.15, _DAY),
    "max_attempts": _count("CAPATAZ_MAX_ATTEMPTS", 1, 1_000),
    "timeout_seconds": _seconds("CAPATAZ_TIMEOUT_SECONDS", 0.01, 365 * _DAY),
    "grace_seconds": _seconds("CAPATAZ_GRACE_SECONDS", 0, _DAY),
    "retention_hours": _seconds("CAPATAZ_RETENTION_HOURS", 0.01, 24 * 36_500),
    "jobs": _names("CAPATAZ_JOBS"),
    "auth": _names("CAPATAZ_AUTH", AUTHENTICATIONS),
    "webhook_secret": _webhook_secret,
    "private_networks": _networks,
    "rabbitmq_url": lambda env: env["RABBITMQ_URL"],
    "nats_url": lambda env: env["NATS_URL"],
    "prefetch": _count("CAPATAZ_PREFETCH", 1, 1_000),
    "log_format": _choice("CAPATAZ_LOG_FORMAT", ("console", "json")),
}

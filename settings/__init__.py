"""Every setting of Capataz, read once from the environment, checked, and then frozen.

Nothing else in the project reads the environment: a `Settings` is passed by hand.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from dotenv import dotenv_values

from settings import github, readers
from settings.error import SettingsError
from settings.readers import BROKERS

__all__ = ["ROOT", "VARIABLES", "VERSION", "Settings", "SettingsError", "web_processes"]

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process was told. Times are seconds and may be fractions."""

    database_url: str = "sqlite:///capataz.db"
    host: str = "127.0.0.1"
    port: int = 8000
    transport: str = "database"
    rabbitmq_url: str = ""
    nats_url: str = ""
    prefetch: int = 1
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
    sandbox: str = "strict"
    github_hosts: tuple[str, ...] = ("github.com",)
    github_owners: tuple[str, ...] = ()
    github_env: tuple[str, ...] = ()
    github_network: str = "no"
    github_builds: str = "no"
    github_python: str = "/usr/bin/python3"
    github_index: str = ""
    github_folder: str = ""
    github_clone_seconds: float = 60.0
    github_cpu_seconds: int = 600
    github_memory_mb: int = 512
    github_size_mb: int = 256
    github_output_mb: int = 16

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
        for name, other in ALSO.items():
            if not _given(env, name) and env.get(other, "").strip():
                env[VARIABLES[name]] = env[other]
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
        if "none" in self.auth and len(self.auth) > 1:
            raise SettingsError(
                "CAPATAZ_AUTH: none cannot be combined with another way; give one or the other"
            )
        if self.transport in BROKERS and not self.broker_url:
            variable, example = BROKERS[self.transport]
            raise SettingsError(
                f"CAPATAZ_TRANSPORT is {self.transport}, but {variable} does not say where that "
                f"is: set it, for example to {example}"
            )
        if self.is_sqlite and env.get("DYNO"):
            raise SettingsError(
                "DATABASE_URL is SQLite, but this is a Heroku dyno (DYNO is set), whose disk is "
                "lost at every restart: add a PostgreSQL database, which sets DATABASE_URL"
            )

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def broker_url(self) -> str:
        """Where the broker of the transport is; empty without one."""
        return {"rabbitmq": self.rabbitmq_url, "nats": self.nats_url}.get(self.transport, "")

    def shown(self) -> dict[str, str]:
        """Every setting under its variable's name, passwords in URLs hidden, for people to read."""
        shown = {VARIABLES[f.name]: readers.shown(getattr(self, f.name)) for f in fields(self)}
        if self.webhook_secret:
            shown[VARIABLES["webhook_secret"]] = "***"
        return shown


# What clients of the API read, which may share an environment with us.
FOREIGN = ("CAPATAZ_TOKEN",)

# Named as everybody else names them.
_COMMON = ("database_url", "host", "port", "rabbitmq_url", "nats_url")
VARIABLES = {
    f.name: f.name.upper() if f.name in _COMMON else f"CAPATAZ_{f.name.upper()}"
    for f in fields(Settings)
}
# Another name by which a provider gives the same.
ALSO = {"rabbitmq_url": "CLOUDAMQP_URL"}


_READERS = readers.READERS | github.READERS
_LISTS = readers.LISTS + github.LISTS


def _given(env: Mapping[str, str], name: str) -> bool:
    text = env.get(VARIABLES[name], "")
    # A list of nothing but a blank was meant to name something: to take it for all would be wrong.
    return bool(text if name in _LISTS else text.strip())


def _refuse_unknown(env: Mapping[str, str]) -> None:
    known = set(VARIABLES.values())
    for name in sorted(env):
        if name.startswith("CAPATAZ_") and name not in known and name not in FOREIGN:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise SettingsError(f"{name} is not a setting of Capataz: {hint}")


def web_processes(environ: Mapping[str, str]) -> int:
    """How many processes serve the API: `WEB_CONCURRENCY`, which gunicorn reads too.

    Raises `SettingsError`.
    """
    if not environ.get("WEB_CONCURRENCY"):
        return 2
    return int(readers.count("WEB_CONCURRENCY", 1, 64)(environ))

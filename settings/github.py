"""How the settings of the job type `github` are read: whose repositories, and within what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from settings.error import SettingsError
from settings.readers import DAY, HOST_NAME, choice, count, names, seconds, shown


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    hosts: tuple[str, ...] = names("CAPATAZ_GITHUB_HOSTS")(env)
    for host in hosts:
        if not re.fullmatch(rf"(https?://)?{HOST_NAME}(:[0-9]{{1,5}})?", host):
            raise SettingsError(
                f"CAPATAZ_GITHUB_HOSTS has {host!r}: write HOST or http://HOST:PORT"
            )
    return hosts


def _text(variable: str, pattern: str, remedy: str) -> Any:
    def read(env: Mapping[str, str]) -> str:
        text = env[variable].strip()
        if not re.match(pattern, text):
            raise SettingsError(f"{variable} is {shown(text)!r}: write {remedy}")
        return text

    return read


_PATH = ("/", "a path from the root, with / first")
_SWITCH = ("yes", "no")
LISTS = ("github_hosts", "github_owners", "github_env")
READERS: dict[str, Any] = {
    "sandbox": choice("CAPATAZ_SANDBOX", ("strict", "weak")),
    "github_hosts": _hosts,
    "github_owners": names("CAPATAZ_GITHUB_OWNERS"),
    "github_env": names("CAPATAZ_GITHUB_ENV"),
    "github_network": choice("CAPATAZ_GITHUB_NETWORK", _SWITCH),
    "github_builds": choice("CAPATAZ_GITHUB_BUILDS", _SWITCH),
    "github_python": _text("CAPATAZ_GITHUB_PYTHON", *_PATH),
    "github_index": _text("CAPATAZ_GITHUB_INDEX", "https?://", "an https:// URL"),
    "github_folder": _text("CAPATAZ_GITHUB_FOLDER", *_PATH),
    "github_clone_seconds": seconds("CAPATAZ_GITHUB_CLONE_SECONDS", 0.1, DAY),
    "github_cpu_seconds": count("CAPATAZ_GITHUB_CPU_SECONDS", 1, 365 * 86_400),
    "github_memory_mb": count("CAPATAZ_GITHUB_MEMORY_MB", 32, 1_048_576),
    "github_size_mb": count("CAPATAZ_GITHUB_SIZE_MB", 1, 1_048_576),
    "github_output_mb": count("CAPATAZ_GITHUB_OUTPUT_MB", 1, 1024),
}

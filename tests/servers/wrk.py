"""wrk, which makes many HTTP requests with little effort; root has it installed if need be."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from tests.servers.debian import find_or_install

REMEDY = "wrk is missing: as root, 'apt-get install wrk'"

# Printed behind wrk's own words, for us: times are microseconds.
_DONE = """
done = function(summary, latency, requests)
  io.write(string.format(
    '\\nfigures {"requests": %d, "us": %d, "bad": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.status + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Rate(NamedTuple):
    """What a load came to: answers a second, and times in ms."""

    requests: int
    per_second: float
    p50: float
    p99: float


def load(url: str, script: str, folder: Path, *, connections: int, seconds: int) -> Rate:
    """Ask by this Lua script over so many connections. Raises `RuntimeError` for any bad answer,
    `ProgramMissingError` with the remedy."""
    file = folder / "load.lua"
    file.write_text(script + _DONE)
    options = [
        *("--threads", "2", "--connections", str(connections), "--duration", f"{seconds}s"),
        *("--timeout", "30s", "--latency", "--script", str(file)),
    ]
    done = subprocess.run([wrk(), *options, url], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.rpartition("figures ")[2])
    if found["bad"] or not found["requests"]:
        raise RuntimeError(f"not all answers were good:\n{done.stdout}")
    per_second = found["requests"] / (found["us"] / 1e6)
    return Rate(found["requests"], per_second, found["p50"] / 1000, found["p99"] / 1000)


def wrk() -> Path:
    """Where it is, installed first if need be. Raises `ProgramMissingError`."""
    return find_or_install("wrk", _installed, REMEDY, nullcontext())


def _installed() -> Path | None:
    found = shutil.which("wrk")
    return Path(found) if found else None

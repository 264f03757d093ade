"""Everything on one machine: migrate, then the web process and a manager, until Ctrl-C.

A manager that ends is started again. When the web process ends, so does all.

Once both are up it submits an `add` of its own over HTTP and shows how to do the same.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from addresses import why_taken, written  # noqa: E402 (the project's root comes first)
from settings import Settings, SettingsError, web_processes  # noqa: E402

COMMANDS = {"web": "runserver", "manager": "manager"}

READY_SECONDS = 30.0
# A manager that ended is started again, after a time that doubles until it has run for a while.
PAUSE_SECONDS = (1.0, 30.0)
STEADY_SECONDS = 60.0
LOOK_SECONDS = 0.2
STOP_MARGIN_SECONDS = 10.0


def main() -> int:
    try:
        settings = Settings.from_env()
        web_processes(os.environ)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    taken = why_taken(settings.host, settings.port)
    if taken is not None:
        print(
            f"error: cannot listen on {settings.host} port {settings.port} ({taken}): stop what "
            "uses it, or choose another, such as PORT=9000 make run; HOST must be an address "
            "of this machine",
            file=sys.stderr,
        )
        return 1
    migrated = subprocess.run([sys.executable, "manage.py", "migrate"], cwd=ROOT, check=False)
    if migrated.returncode:
        return migrated.returncode
    processes = {name: _start(name) for name in COMMANDS}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _show(settings, processes)
        return _watch(processes)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(processes, settings.grace_seconds + STOP_MARGIN_SECONDS)


def _start(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", COMMANDS[name]],
        cwd=ROOT,
        # A group of its own: Ctrl-C reaches this process alone, which passes it on once.
        start_new_session=True,
    )


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _show(settings: Settings, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Wait until the web process is ready, then run one order end to end."""
    until = time.monotonic() + READY_SECONDS
    while not _ready(settings):
        ended = processes["web"].poll() is not None
        if ended or time.monotonic() > until:
            why = "the web process ended" if ended else f"it took more than {READY_SECONDS:g} s"
            print(f"error: not ready; see above ({why})", file=sys.stderr)
            return
        time.sleep(0.05)
    began = time.monotonic()
    submitted = _ask(settings, "POST", "/api/v1/add/1/2")
    path = f"/api/v1/job/{submitted['jobId']}"
    order = _ask(settings, "GET", f"{path}?wait=20")
    address = f"http://{written(settings.host, settings.port)}"
    milliseconds = (time.monotonic() - began) * 1000
    if order["status"] != "completed":
        print(f"the first order is still {order['status']}: see {address}{path}")
    print(
        f"""
Capataz is up.
  1 + 2 = {order["result"]}, submitted, run and collected in {milliseconds:.0f} ms
  dashboard   {address}/{_built()}
  see         {address}/api/v1/jobs and {address}/api/v1/metrics
  try         curl -X POST {address}/api/v1/add/0.1/0.2
  then        curl '{address}/api/v1/job/JOB-ID?wait=10'
  stop        Ctrl-C
""",
        flush=True,
    )


def _built() -> str:
    return "" if (ROOT / "dashboard/dist/index.html").is_file() else " (not built: make dashboard)"


def _ready(settings: Settings) -> bool:
    try:
        return _status(settings, "GET", "/readyz")[0] == http.client.OK
    except OSError:
        return False


def _ask(settings: Settings, method: str, path: str) -> dict[str, Any]:
    status, body = _status(settings, method, path)
    if status >= http.client.BAD_REQUEST:
        raise SystemExit(f"error: {method} {path} answered {status}: {body.decode()}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _status(settings: Settings, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _watch(processes: dict[str, subprocess.Popen[bytes]]) -> int:
    """Start the manager again when it ends; wait until the web process does, its exit code."""
    pause, longest = PAUSE_SECONDS
    began, due = time.monotonic(), 0.0
    while (code := processes["web"].poll()) is None:
        now = time.monotonic()
        manager = processes["manager"]
        if due and now >= due:
            processes["manager"] = _start("manager")
            began, due = now, 0.0
        elif not due and manager.poll() is not None:
            pause = PAUSE_SECONDS[0] if now - began >= STEADY_SECONDS else pause
            due = now + pause
            print(
                f"the manager (process {manager.pid}) {_how(manager.returncode)}; the web process "
                f"goes on, and another manager is started in {pause:g} s",
                file=sys.stderr,
                flush=True,
            )
            pause = min(2 * pause, longest)
        time.sleep(LOOK_SECONDS)
    print(f"error: the web process {_how(code)}; stopping", file=sys.stderr)
    return code or 1


def _how(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _stop(processes: dict[str, subprocess.Popen[bytes]], seconds: float) -> None:
    for process in processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    until = time.monotonic() + seconds
    for name, process in processes.items():
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"{name} did not stop in time and was killed", file=sys.stderr)
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())

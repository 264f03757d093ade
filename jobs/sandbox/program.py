"""Running a project's program, and what its end means."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import exact_json
from jobs import Context
from jobs.errors import Fail
from jobs.sandbox import environment, step
from jobs.sandbox.errors import (
    BadResultFile,
    EntryNotFound,
    MalformedRequest,
    MemoryExceeded,
    ProgramExited,
    ProgramKilled,
    ProgramRaised,
    ProgramTimedOut,
    TooLarge,
    TooMuchOutput,
)
from jobs.sandbox.folders import MAX_RESULT, RESULT, read_plain
from jobs.sandbox.options import Options
from jobs.sandbox.step import Bounds, Ended, Step
from jobs.sandbox.walls import Limits, Room, Walls

PLACE = "/project"
MAX_NOTE = 8_000
# The program ends so much before the attempt does, so that there is time to say how.
MARGIN_SECONDS = 2.0
_TRACEBACK = "Traceback (most recent call last):"
_NOT_COMPILED = re.compile(r"(SyntaxError|IndentationError|TabError): ")
_EXCEPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(:|$)")


def check_entry(entry: str) -> str:
    """The path of a Python file within a project. Raises `MalformedRequest`."""
    path = PurePosixPath(entry)
    if (
        not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/ +-]{0,199}", entry)
        or path.is_absolute()
        or ".." in path.parts
        or path.suffix != ".py"
    ):
        raise MalformedRequest("is not the path of a .py file within the repository")
    return str(path)


def find_entry(project: Path, entry: str) -> None:
    """See that it is there. Raises `EntryNotFound`, which names what else could be meant."""
    path = project
    for part in PurePosixPath(entry).parts:
        path = path / part
        if path.is_symlink():
            break
    else:
        if path.is_file():
            return
    others = sorted(found.name for found in project.glob("*.py"))[:5]
    hint = f"it has {', '.join(others)}" if others else "it has no .py file at its top"
    raise EntryNotFound(f"the repository has no {entry}: {hint}; name another with entry")


def run(
    walls: Walls,
    options: Options,
    context: Context,
    project: Path,
    place: Path,
    words: Sequence[str],
    variables: dict[str, str],
    show: Callable[[str, str], None],
) -> Ended:
    """Run `words`, the entry and its arguments, in the environment at `place`."""
    own = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONIOENCODING": "utf-8",
        "HOME": "/tmp",  # noqa: S108 (the sandbox's own)
        "LANG": "C.UTF-8",
    }
    room = Room(
        PLACE,
        {PLACE: project},
        {environment.PLACE: place},
        {**variables, **own},
        network=options.network,
    )
    seconds = max(0.1, context.remaining() - min(MARGIN_SECONDS, context.remaining() / 5))
    bounds = Bounds(seconds, options.memory_mb, options.output_mb, options.size_mb, project)
    limits = Limits(options.memory_mb, options.size_mb, options.cpu_seconds)
    python = walls.place(room, f"{environment.PLACE}/bin/python")
    return Step(walls, bounds, context, show).run(room, limits, [python, *words])


def value(project: Path) -> Any:
    """What the program left as its result; None when it left nothing. Raises `BadResultFile`."""
    data = read_plain(project, RESULT, MAX_RESULT)
    if data is None:
        return None
    try:
        return exact_json.loads(data, decimals=True, max_depth=exact_json.MAX_DEPTH - 2)
    except exact_json.BadJson as error:
        raise BadResultFile(f"{RESULT} is not JSON: {error}") from None


def judge(ended: Ended, options: Options) -> None:
    """Return when the program did well. Raises what it did instead, with its last words."""
    error = _fault(ended, options)
    if error is not None:
        words = _traceback(ended.stderr) or ended.stderr or ended.stdout
        if words:
            error.add_note(words[-MAX_NOTE:])
        raise error


def _fault(ended: Ended, options: Options) -> Fail | None:
    memory = MemoryExceeded(
        f"the program used more than {options.memory_mb} MiB with all that it started "
        "(CAPATAZ_GITHUB_MEMORY_MB)"
    )
    broken: dict[str | None, Fail] = {
        step.TIME: ProgramTimedOut(
            f"the program took longer than {ended.seconds:.1f} s: give the order a longer timeout"
        ),
        step.MEMORY: memory,
        step.SIZE: TooLarge(
            f"the program's folder grew beyond {options.size_mb} MiB (CAPATAZ_GITHUB_SIZE_MB), or "
            "to too many files"
        ),
        step.OUTPUT: TooMuchOutput(
            f"the program printed more than {options.output_mb} MiB (CAPATAZ_GITHUB_OUTPUT_MB)"
        ),
    }
    if ended.broke is not None:
        return broken[ended.broke]
    if ended.exit_code == 0:
        return None
    if ended.exit_code > 128:
        return _signalled(ended.exit_code - 128, options)
    raised = _raised(ended)
    if raised is None:
        return ProgramExited(f"the program ended with exit code {ended.exit_code}")
    return memory if raised.startswith("MemoryError") else ProgramRaised(raised[:1000])


def _signalled(number: int, options: Options) -> Fail:
    if number == signal.SIGXCPU:
        return ProgramTimedOut(
            f"the program used more than {options.cpu_seconds} s of processor time "
            "(CAPATAZ_GITHUB_CPU_SECONDS)"
        )
    if number == signal.SIGXFSZ:
        return TooLarge(
            f"the program wrote a file of more than {options.size_mb} MiB (CAPATAZ_GITHUB_SIZE_MB)"
        )
    try:
        name = signal.Signals(number).name
    except ValueError:
        return ProgramExited(f"the program ended with exit code {128 + number}")
    return ProgramKilled(
        f"the program was killed by {name}, or ended with exit code {128 + number}"
    )


def _raised(ended: Ended) -> str | None:
    """The exception's own line, when the program ended with one."""
    lines = ended.stderr.rstrip().splitlines()
    if ended.exit_code != 1 or not lines:
        return None
    if _NOT_COMPILED.match(lines[-1]):
        return lines[-1]
    for line in _traceback(ended.stderr).splitlines()[1:]:
        if _EXCEPTION.match(line):
            return line
    return None


def _traceback(text: str) -> str:
    _, found, rest = text.rpartition(_TRACEBACK)
    return found + rest

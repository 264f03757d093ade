"""A repository's program, run apart from everything: clone, environment, run, result."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

from jobs import Context, job
from jobs.errors import JobError
from jobs.sandbox import environment as environments
from jobs.sandbox import program
from jobs.sandbox.address import allowed, parse
from jobs.sandbox.checkout import check_ref, fetch
from jobs.sandbox.errors import DependencyFailed, VariableNotAllowed
from jobs.sandbox.folders import artifacts, base_folder, known_files, own_folder
from jobs.sandbox.options import Options
from jobs.sandbox.walls import WEAK, Walls

if TYPE_CHECKING:
    from settings import Settings

TIMEOUT_SECONDS = 600


def _url(text: str) -> str:
    parse(text)
    return text


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("must have no NUL in it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("must be text that UTF-8 can write") from None
    return text


Name = Annotated[str, Field(min_length=1, max_length=200, description="What you call it")]
Url = Annotated[
    str,
    AfterValidator(_url),
    Field(
        max_length=400,
        description="https://HOST/OWNER/REPOSITORY",
        json_schema_extra={"format": "repository"},
    ),
]
Ref = Annotated[
    str,
    AfterValidator(check_ref),
    Field(
        description="A branch, a tag or a whole commit id",
        json_schema_extra={"format": "git-ref"},
    ),
]
Entry = Annotated[
    str,
    AfterValidator(program.check_entry),
    Field(
        description="The file to run, in the repository",
        json_schema_extra={"format": "python-file"},
    ),
]
Argument = Annotated[str, AfterValidator(_argument), Field(max_length=4000, pattern=r"^[^\x00]*$")]
Arguments = Annotated[list[Argument], Field(max_length=100, description="The program's arguments")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Variables = Annotated[
    list[Variable],
    Field(
        max_length=100, description="Names of variables that it gets, of those the operator allows"
    ),
]
Wanted = Annotated[
    bool, Field(description="Install what requirements.txt asks for; unset: when there is one")
]


@job("github", isolation="process", timeout=TIMEOUT_SECONDS, max_attempts=1)
def github(
    context: Context,
    name: Name,
    url: Url,
    ref: Ref | None = None,
    entry: Entry = "main.py",
    args: Arguments | None = None,
    env: Variables | None = None,
    requirements: Wanted | None = None,
) -> dict[str, Any]:
    """Clone a repository and run its main.py in a sandbox."""
    asked = Asked(name, url, ref, entry, args or [], env or [], requirements)
    try:
        return _run(context, asked, _allowed_here())
    except JobError as error:
        # Where in this program it came up tells nobody anything.
        raise error.with_traceback(None) from None


class Asked(NamedTuple):
    """What an order says."""

    name: str
    url: str
    ref: str | None
    entry: str
    args: list[str]
    env: list[str]
    requirements: bool | None


def _allowed_here() -> Options:
    """What the operator allows this process; other jobs' processes know nothing of settings."""
    from settings import Settings  # noqa: PLC0415

    return options(Settings.from_env())


def options(settings: Settings) -> Options:
    """What the operator allows."""
    return Options(
        hosts=settings.github_hosts,
        owners=settings.github_owners,
        level=settings.sandbox,
        variables=settings.github_env,
        network=settings.github_network == "yes",
        builds=settings.github_builds == "yes",
        python=settings.github_python,
        index=settings.github_index,
        folder=settings.github_folder,
        clone_seconds=settings.github_clone_seconds,
        cpu_seconds=settings.github_cpu_seconds,
        memory_mb=settings.github_memory_mb,
        size_mb=settings.github_size_mb,
        output_mb=settings.github_output_mb,
    )


def _run(context: Context, asked: Asked, options: Options) -> dict[str, Any]:
    repository = allowed(parse(asked.url), options.hosts, options.owners)
    variables = _variables(asked.env, options)
    walls = Walls(options.level)
    base = base_folder(options.folder)
    with own_folder(base, walls) as folder:
        context.progress(0, "getting the repository")
        commit = fetch(walls, options, context, repository, asked.ref, folder)
        _show("stdout", f"{repository.url} at {commit}, sandbox: {walls.level}\n")
        if walls.level == WEAK:
            _show("stderr", "the sandbox is weak: the program sees this host's files\n")
        project = folder / "project"
        program.find_entry(project, asked.entry)
        wanted = _wanted(project, asked)
        context.progress(30, "preparing its environment")
        with environments.environment(walls, options, context, wanted, base, _show) as place:
            known = known_files(project)
            context.progress(40, "running")
            ended = program.run(
                *(walls, options, context, project, place),
                *([asked.entry, *asked.args], variables, _show),
            )
        program.judge(ended, options)
        return {
            "name": asked.name,
            "commit": commit,
            "exitCode": ended.exit_code,
            "stdout": ended.stdout,
            "stderr": ended.stderr,
            "durationMs": round(ended.seconds * 1000),
            "maxRssMb": ended.max_rss_mb,
            "value": program.value(project),
            "artifacts": artifacts(project, known, options.size_mb * 1024 * 1024),
            "sandbox": walls.level,
        }


def _wanted(project: Path, asked: Asked) -> str:
    """What is to be installed; nothing where the order says so, or nothing is asked for."""
    if asked.requirements is False:
        return ""
    found = environments.requirements(project)
    if found is None and asked.requirements:
        raise DependencyFailed(
            "the repository has no requirements.txt: leave requirements out of the order"
        )
    return found or ""


def _variables(names: list[str], options: Options) -> dict[str, str]:
    for name in names:
        if name not in options.variables:
            known = ", ".join(options.variables) or "none"
            raise VariableNotAllowed(
                f"the variable {name} is not given to programs: allowed are {known} "
                "(CAPATAZ_GITHUB_ENV)"
            )
        if name not in os.environ:
            raise VariableNotAllowed(f"the variable {name} is allowed, but not set on this host")
    return {name: os.environ[name] for name in names}


def _show(name: str, text: str) -> None:
    """Into the order's log, while it runs."""
    stream = sys.stdout if name == "stdout" else sys.stderr
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()

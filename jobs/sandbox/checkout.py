"""Getting a repository: one commit of it, as plain files, and nothing that git would do besides.

No submodules, hooks, large-file storage, prompts, redirects or other protocols; links in it become
small files that hold where they led. Git too works within the walls.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NoReturn

from jobs import Context
from jobs.sandbox import step
from jobs.sandbox.address import Repository
from jobs.sandbox.errors import (
    CloneFailed,
    CloneTimedOut,
    MalformedRequest,
    RefNotFound,
    RepositoryNotFound,
    TooLarge,
)
from jobs.sandbox.options import Options
from jobs.sandbox.step import Bounds, Ended, Step
from jobs.sandbox.walls import Limits, Room, Walls

MEMORY_MB = 1024
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLACE = "/checkout"
_CONFIGURATION = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.symlinks=false"),
    *("http.followRedirects=false", "http.lowSpeedLimit=1000", "http.lowSpeedTime=20"),
    *("submodule.recurse=false", "gc.auto=0", "maintenance.auto=false", "credential.helper="),
    # Old commits of good repositories have these faults, which harm nobody.
    *("fetch.fsckObjects=true", "fetch.fsck.zeroPaddedFilemode=ignore"),
    *("fetch.fsck.badTimezone=ignore", "fetch.fsck.missingSpaceBeforeDate=ignore"),
    *("advice.detachedHead=false", "init.defaultBranch=main"),
)


def check_ref(ref: str) -> str:
    """A branch, a tag or a whole commit id. Raises `MalformedRequest`."""
    if not _REF.fullmatch(ref) or ".." in ref or "//" in ref or ref.endswith(("/", ".", ".lock")):
        raise MalformedRequest(
            "is not the name of a branch or tag, nor a commit id of 40 hexadecimal digits"
        )
    return ref


def fetch(
    walls: Walls,
    options: Options,
    context: Context,
    repository: Repository,
    ref: str | None,
    folder: Path,
) -> str:
    """Put the files of the repository into `folder`/project; return the id of their commit.

    Raises one of the errors of getting a repository, or `Cancelled`.
    """
    for name in ("project", "git"):
        (folder / name).mkdir(mode=0o700)
        walls.own(folder / name)
    until = time.monotonic() + options.clone_seconds
    room = Room(_PLACE, {_PLACE: folder}, variables=_variables(repository.scheme), network=True)

    def git(*words: str) -> Ended:
        bounds = Bounds(max(0.0, until - time.monotonic()), MEMORY_MB, 8, options.size_mb, folder)
        limits = Limits(MEMORY_MB, options.size_mb, int(options.clone_seconds) + 1, None)
        places = [
            f"--git-dir={walls.place(room, _PLACE + '/git')}",
            f"--work-tree={walls.place(room, _PLACE + '/project')}",
        ]
        settings = [word for pair in _CONFIGURATION for word in ("-c", pair)]
        ended = Step(walls, bounds, context, _silent).run(
            room, limits, ["git", *places, *settings, *words]
        )
        if ended.broke or ended.exit_code:
            _complain(ended, repository, ref, options)
        return ended

    git("init", "-q", "--template=")
    git(
        *(
            "fetch",
            "-q",
            "--depth=1",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-commit-graph",
        ),
        *("--", repository.url, ref or "HEAD"),
    )
    git("checkout", "-q", "--force", "FETCH_HEAD", "--")
    commit = git("rev-parse", "--verify", "HEAD").stdout.strip()
    if not _COMMIT.fullmatch(commit):
        raise CloneFailed(f"git did not say which commit of {repository.url} this is: try again")
    return commit


def _silent(_name: str, _text: str) -> None:
    """Git's own words are for the error only."""


def _variables(scheme: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": scheme,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
    }


def _complain(ended: Ended, repository: Repository, ref: str | None, options: Options) -> NoReturn:
    url, said = repository.url, ended.stderr
    if ended.broke == step.TIME:
        raise CloneTimedOut(
            f"{url} did not come within {options.clone_seconds:g} s (CAPATAZ_GITHUB_CLONE_SECONDS)"
        )
    if ended.broke in (step.SIZE, step.MEMORY) or "File too large" in said:
        raise TooLarge(
            f"{url} is larger than {options.size_mb} MiB (CAPATAZ_GITHUB_SIZE_MB), or has more "
            "files than a project may have"
        )
    if _says(said, "couldn't find remote ref", "not our ref", "unadvertised object"):
        if ref is None:
            raise RefNotFound(f"{url} is empty: push a first commit")
        raise RefNotFound(f"{url} has no branch, tag or commit {ref!r}: check its spelling")
    if _says(said, "returned error: 30", "redirect"):
        raise RepositoryNotFound(f"{url} has moved: give its new address")
    if _says(said, "not found", "could not read Username", "returned error: 40", "Authentication"):
        raise RepositoryNotFound(
            f"{url} is not there, or is private: check owner and name; private ones are not run"
        )
    last = " ".join(said.split())[-500:]
    raise CloneFailed(f"git could not get {url}: {last or f'exit code {ended.exit_code}'}")


def _says(said: str, *parts: str) -> bool:
    return any(part.lower() in said.lower() for part in parts)

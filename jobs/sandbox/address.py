"""The URL of a repository: taken apart, checked against what is allowed, and written anew.

Nothing of what a customer wrote reaches git but a host, an owner and a name, each of plain letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from jobs.sandbox.errors import HostNotAllowed, MalformedUrl, OwnerNotAllowed

EVERYONE = "*"
MOST_CHARACTERS = 400
# ASCII only: else some letters of other scripts are taken for small or large ones of these.
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[0-9]{1,5})?"
_URL = re.compile(rf"(https?)://({_HOST})/({_NAME})/({_NAME}?)(\.git)?/?", re.IGNORECASE | re.ASCII)
_ALLOWED = re.compile(rf"(?:(https?)://)?({_HOST})", re.IGNORECASE | re.ASCII)


class Repository(NamedTuple):
    """Where a repository is; `host` may have a port, and is in lower case."""

    scheme: str
    host: str
    owner: str
    name: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}/{self.owner}/{self.name}.git"


def parse(text: str) -> Repository:
    """Take a URL apart. Raises `MalformedUrl`, which says what to write instead."""
    if len(text) > MOST_CHARACTERS:
        raise MalformedUrl(f"is longer than {MOST_CHARACTERS} characters: {_REMEDY}")
    found = _URL.fullmatch(text)
    if not found:
        raise MalformedUrl(f"{_complaint(text)}: {_REMEDY}")
    scheme, host, owner, name, _ = found.groups()
    if name.lower().endswith(".git"):
        name = name[:-4]
    if not re.fullmatch(_NAME, name) or ".." in host + owner + name:
        raise MalformedUrl(f"does not name a repository: {_REMEDY}")
    port = host.partition(":")[2]
    if port and not 0 < int(port) < 65_536:
        raise MalformedUrl(f"has a port that is none: {_REMEDY}")
    return Repository(scheme.lower(), host.lower(), owner, name)


def allowed(repository: Repository, hosts: Sequence[str], owners: Sequence[str]) -> Repository:
    """The repository, if it may be fetched: over plain HTTP where the operator wrote `http://HOST`.

    Raises `HostNotAllowed` or `OwnerNotAllowed`, naming the setting.
    """
    schemes = dict(map(split_host, hosts))
    if repository.host not in schemes:
        known = ", ".join(schemes) or "none"
        raise HostNotAllowed(
            f"repositories of {repository.host} are not run here: allowed are {known} "
            "(CAPATAZ_GITHUB_HOSTS)"
        )
    names = {owner.lower() for owner in owners}
    if EVERYONE not in names and repository.owner.lower() not in names:
        known = ", ".join(owners) or "none yet"
        raise OwnerNotAllowed(
            f"repositories of {repository.owner!r} are not run here: allowed owners are {known}; "
            f"the operator names them in CAPATAZ_GITHUB_OWNERS, {EVERYONE} for all"
        )
    if repository.scheme == "http" != schemes[repository.host]:
        raise MalformedUrl("starts with http://, which anybody on the way can change: use https://")
    return repository


def split_host(text: str) -> tuple[str, str]:
    """A host of the setting, and the scheme to use with it. Raises `ValueError`."""
    found = _ALLOWED.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not HOST, HOST:PORT or http://HOST:PORT")
    return found[2].lower(), (found[1] or "https").lower()


_REMEDY = "write https://HOST/OWNER/REPOSITORY"


def _complaint(text: str) -> str:
    """What is wrong, for the mistakes that people make; nothing of the text is repeated."""
    rest = text.partition("://")[2]
    if "@" in rest.partition("/")[0]:
        return "has a user or a password, which would be kept with the order"
    if re.match(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:", text) or text.startswith(("ssh:", "git:")):
        return "is for SSH or git's own protocol"
    if re.search(r"/(tree|blob|commit)/", text):
        return "leads into a repository (give the branch, tag or commit as ref)"
    if "?" in text or "#" in text:
        return "has a question or a fragment"
    if not text.isascii() or "%" in text:
        return "has characters that no repository's name has"
    return "is not the URL of a repository"

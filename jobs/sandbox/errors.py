"""Why a project did not run, or not to its end. The class is the `error.type` of the order.

Those under `Fail` end the order: another attempt would come to the same. The others may pass, and
are tried again where the order has attempts left.
"""

from __future__ import annotations

from jobs.errors import Fail, JobError


class MalformedUrl(Fail, ValueError):
    """The URL is none of a repository, or could mean more than one thing."""


class MalformedRequest(Fail, ValueError):
    """A ref, an entry, an argument or a name that no project can have."""


class HostNotAllowed(Fail):
    """`CAPATAZ_GITHUB_HOSTS` does not name the host."""


class OwnerNotAllowed(Fail):
    """`CAPATAZ_GITHUB_OWNERS` does not name the owner."""


class VariableNotAllowed(Fail):
    """`CAPATAZ_GITHUB_ENV` does not name the variable, or it is not set."""


class RepositoryNotFound(Fail):
    """No such repository, or one that asks for a password."""


class RefNotFound(Fail):
    """The repository has no such branch, tag or commit."""


class TooLarge(Fail):
    """The repository, or what the program wrote, is more than it may be."""


class CloneTimedOut(JobError):
    """The repository did not come in time."""


class CloneFailed(JobError):
    """Any other trouble with git; its last words are in the message."""


class EntryNotFound(Fail):
    """The repository has no such file to run."""


class DependencyFailed(JobError):
    """What requirements.txt asks for could not be installed."""


class DependencyRefused(Fail):
    """requirements.txt has a line that could reach beyond the package index."""


class SandboxUnavailable(Fail):
    """This host cannot put walls around a program."""


class ProgramRaised(Fail):
    """The program ended with an exception."""


class ProgramExited(Fail):
    """The program ended with an exit code other than 0."""


class ProgramKilled(Fail):
    """The program was ended by a signal."""


class ProgramTimedOut(Fail):
    """The program took longer than it may."""


class MemoryExceeded(Fail):
    """The program, with all that it started, used more memory than it may."""


class TooMuchOutput(Fail):
    """The program printed more than it may."""


class BadResultFile(Fail):
    """The program's result.json is no JSON, no plain file, or too large."""

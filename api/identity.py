"""Who is calling, as whatever asked for credentials found out."""

from __future__ import annotations

from typing import Final, NamedTuple

from flask import g, has_request_context

from ledger.tokens import ADMIN, CUSTOMER


class Identity(NamedTuple):
    """Who calls: `name` owns what it submits ('' is nobody in particular), `role` is what it may.

    `means` names what it showed: the public id of a token.
    """

    name: str
    role: str
    means: str = ""

    @property
    def sees_only(self) -> str | None:
        """The owner whose orders are all that it may know of; None for everybody's."""
        return self.name if self.role == CUSTOMER else None

    def may_fetch(self, owner: str) -> bool:
        """Whether its first look at a result marks it retrieved: it is the owner's, or anybody's
        where nobody is asked who they are."""
        return not self.name or self.name == owner


# Where nobody is asked who they are, and in commands, which have the database itself.
ANYBODY: Final = Identity("", ADMIN)


def identity() -> Identity:
    """Who makes the current request."""
    found: Identity = g.get("identity", ANYBODY) if has_request_context() else ANYBODY
    return found

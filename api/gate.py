"""Who gets in: asks each way to know a caller, then the table of who may use which route.

A way is what knows one kind of credentials: tokens now. One that trusts a proxy's headers, or an
OpenID Connect provider, is one more class with the same four members, named in `ways`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Protocol

from flask import Request

from api import errors
from api.access import roles_for
from api.identity import ANYBODY, Identity
from api.throttle import Throttle


class BadCredentials(Exception):
    """Credentials that open nothing; the text says so without them."""


class Way(Protocol):
    """One way to know who calls."""

    # What WWW-Authenticate says of it, and how OpenAPI describes it.
    challenge: str
    scheme: Mapping[str, str]

    def identify(self, request: Request) -> Identity | None:
        """Who calls; None when the request shows nothing of this kind. Raises `BadCredentials`."""

    def still_opens(self, identity: Identity) -> bool:
        """Whether an identity that it gave out may go on."""

    def close(self) -> None:
        """Stop what it started."""


class Gate:
    """The ways of one application, by the names that `CAPATAZ_AUTH` has for them."""

    def __init__(self, ways: Mapping[str, Way], *, is_local_only: bool) -> None:
        self.ways = ways
        # Nothing was said about who may call: then nobody from elsewhere may.
        self._is_local_only = is_local_only and not ways
        self._throttle = Throttle()

    def enter(self, request: Request, endpoint: str) -> Identity:
        """Who calls, if they may use this endpoint. Raises the 401, 403 or 429; `DatabaseAway`."""
        if self._is_local_only and not _is_local(request.remote_addr):
            raise errors.forbidden(
                "Only this machine is served while nobody is asked who they are: set CAPATAZ_AUTH "
                "on the server."
            )
        if not self.ways:
            return ANYBODY
        roles = roles_for(endpoint)
        if roles is None:
            return ANYBODY
        found = self._identify(request)
        if found.role not in roles:
            raise errors.not_allowed(found.role, sorted(roles))
        return found

    def still_opens(self, identity: Identity) -> bool:
        """Whether who came in may stay. Raises `DatabaseAway`."""
        if not identity.means:
            return True
        return any(way.still_opens(identity) for way in self.ways.values())

    def close(self) -> None:
        """Stop what the ways started. Safe twice."""
        for way in self.ways.values():
            way.close()

    def _identify(self, request: Request) -> Identity:
        try:
            for way in self.ways.values():
                found = way.identify(request)
                if found is not None:
                    return found
        except BadCredentials as error:
            raise self._refusal(request, str(error)) from None
        if "Authorization" in request.headers:
            raise self._refusal(request, "The credentials are of no kind that is known here")
        raise errors.unauthenticated(self._challenges(""), "Say who you are")

    def _refusal(self, request: Request, reason: str) -> errors.ApiError:
        wait = self._throttle.failed(request.remote_addr or "")
        if wait:
            return errors.too_many_failures(wait)
        return errors.unauthenticated(self._challenges(', error="invalid_token"'), reason)

    def _challenges(self, more: str) -> str:
        return ", ".join(way.challenge + more for way in self.ways.values())


def _is_local(address: str | None) -> bool:
    """Whether a peer is of this machine; one of a Unix socket has no address."""
    if not address:
        return True
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return (getattr(host, "ipv4_mapped", None) or host).is_loopback

"""Requests that jobs make to addresses which a client gave: only to where anybody may go.

A name is resolved once, each of its addresses judged, and the connection made to one that was:
what the name means a moment later is of no matter. No redirect is followed, and the time and the
size of an answer are bounded.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from jobs import lookup

SECRET, NETWORKS = "CAPATAZ_WEBHOOK_SECRET", "CAPATAZ_PRIVATE_NETWORKS"

CONNECT_SECONDS = 10.0
LOOKUP_SECONDS = 10.0
PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """The address must not be called; the text says why."""


class Unreachable(Exception):
    """There was no whole answer: the name, the connection, the time, or its size."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Told:
    """What the process that runs jobs was told; a child has it in its environment."""

    def __init__(self) -> None:
        self.values: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return (os.environ if self.values is None else self.values).get(name, "")


_told = _Told()


def configure(secret: str, networks: Sequence[str]) -> None:
    """Say what signs webhooks, and which private networks jobs may call."""
    _told.values = {SECRET: secret, NETWORKS: ",".join(networks)}


def environment() -> dict[str, str]:
    """What a child process needs in its environment to know the same."""
    return {name: _told[name] for name in (SECRET, NETWORKS) if _told[name]}


def webhook_secret() -> str:
    """What webhooks are signed with, as in the setting; empty when there is none."""
    return _told[SECRET]


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    seconds: float = 20.0,
    most_bytes: int = 64 * 1024,
) -> Answer:
    """Call this URL and read its whole answer. Raises `Refused`, `Unreachable`."""
    link = _Link(url, seconds)
    try:
        with _deadline(link, seconds):
            link.connect()
            link.request(method, link.target, body, dict(headers or {}))
            answer = link.getresponse()
            content = answer.read(most_bytes + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    finally:
        link.close()
    if link.late:  # it may seem whole, but was cut
        raise Unreachable(f"there was no whole answer within {seconds:g} s")
    if len(content) > most_bytes:
        raise Unreachable(f"the answer is longer than {most_bytes:,} bytes")
    return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, content)


class _Link(http.client.HTTPConnection):
    """A connection to an address that was judged, whatever else its name may mean."""

    def __init__(self, url: str, seconds: float) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Refused(f"it is no URL: {error}") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise Refused("it is no http or https URL with a host")
        if parts.username is not None or parts.password is not None:
            raise Refused("it carries a user name: send credentials in a header")
        if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
            raise Refused("it has blanks or signs that must be written with %")
        self._secure = parts.scheme == "https"
        port = PORTS[parts.scheme] if port is None else port
        super().__init__(parts.hostname, port, timeout=min(seconds, CONNECT_SECONDS))
        self.default_port = PORTS[parts.scheme]
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout = seconds
        self._until = time.monotonic() + seconds
        self.late = False

    def connect(self) -> None:
        """Connect to the first address of the host that answers, all having been judged.

        A name may have any number of them, and none may answer: they share the time.
        """
        addresses = resolve(self.host, self.port, min(self._timeout, LOOKUP_SECONDS))
        failure: OSError | None = None
        for address in addresses:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time was up before the connection was there")
            try:
                place = (address, self.port)
                self.sock = socket.create_connection(place, min(self.timeout or left, left))
                break
            except OSError as error:
                failure = error
        else:
            raise failure or OSError(f"{self.host} has no address")
        if self.late:
            raise TimeoutError("the time was up before the connection was there")
        self.sock.settimeout(self._timeout)
        if self._secure:
            context = ssl.create_default_context()
            # Not shaken hands yet, so that the deadline finds the socket that it is to cut.
            self.sock = context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()


@contextmanager
def _deadline(link: _Link, seconds: float) -> Iterator[None]:
    """Cut the connection after so long: one that sends a byte a second would go on for ever."""

    def cut() -> None:
        link.late = True
        with suppress(OSError, AttributeError):
            link.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def resolve(host: str, port: int, seconds: float = LOOKUP_SECONDS) -> list[str]:
    """The addresses of a host, if all of them may be called. Raises `Refused`, `OSError`."""
    addresses = lookup.addresses(host, port, seconds)
    for address in addresses:
        if not may_be_called(ipaddress.ip_address(address)):
            raise Refused(
                f"{host} is at {address}, which is not on the public internet: if it is meant, "
                f"add its network to {NETWORKS} of the managers"
            )
    return addresses


def may_be_called(address: Address) -> bool:
    """Whether it is public, with all that it may stand for, or allowed by the setting."""
    allowed: list[Network] = [
        ipaddress.ip_network(text) for text in _told[NETWORKS].split(",") if text
    ]
    return all(
        (one.is_global and not one.is_multicast) or any(one in network for network in allowed)
        for one in _meanings(address)
    )


def _meanings(address: Address) -> list[Address]:
    """The address that is reached by it: an older one may be written inside of a newer."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        inner: list[Address] = [one for one in (address.sixtofour,) if one is not None]
        if address.teredo is not None:
            inner += address.teredo
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        return [address, *inner]
    return [address]


def json_body(value: object) -> bytes:
    """A value as the body of a request."""
    return json.dumps(value, separators=(",", ":")).encode()

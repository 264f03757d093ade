"""How an address is written, and whether it can be listened on."""

from __future__ import annotations

import socket


def written(host: str, port: int) -> str:
    """HOST:PORT as in a URL, where IPv6 stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def why_taken(host: str, port: int) -> str | None:
    """Why nothing could listen there, or None.

    Asked without SO_REUSEPORT: with it two servers would share one port without a word.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None

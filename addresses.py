"""Whether an address can be listened on, asked before anything is started there."""

from __future__ import annotations

import socket


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

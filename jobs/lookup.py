"""What a name stands for, found out within a time: the system's resolver itself knows no bound."""

from __future__ import annotations

import socket
import threading

# Threads that wait for a resolver which may never answer; beyond it nothing more is asked.
MOST_WAITING = 16

_places = threading.BoundedSemaphore(MOST_WAITING)


class _Lookup:
    """One question, asked in a thread that is left behind when it takes too long."""

    def __init__(self, host: str, port: int) -> None:
        self.found: list[str] = []
        self.failure: OSError | UnicodeError | None = None
        self._thread = threading.Thread(
            target=self._run, args=(host, port), name="lookup", daemon=True
        )

    def within(self, seconds: float) -> bool:
        """Ask; whether there was an answer, good or bad, within this time."""
        self._thread.start()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self.found = list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))
        except (OSError, UnicodeError) as error:
            self.failure = error
        finally:
            _places.release()


def addresses(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a host, each once. Raises `OSError`: also when that takes too long."""
    if not _places.acquire(blocking=False):
        raise TimeoutError(f"{MOST_WAITING} other names are being looked up: try again")
    lookup = _Lookup(host, port)
    if not lookup.within(seconds):
        raise TimeoutError(f"nobody said within {seconds:g} s what {host} stands for")
    if lookup.failure is not None:
        raise lookup.failure
    return lookup.found

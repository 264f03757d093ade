"""Small things that tests share."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(fact: Callable[[], object], what: str = "", timeout: float = 20.0) -> None:
    """Wait for a fact, looking often; fail loudly, with the last error, when it does not come."""
    until = time.monotonic() + timeout
    last: AssertionError | None = None
    while True:
        try:
            if fact():
                return
            last = None
        except AssertionError as error:
            last = error
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout:g} s: {what or fact}") from last
        time.sleep(0.01)
